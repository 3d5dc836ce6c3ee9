"""Train V, the convolutional VAE.

data/WORLD/scenes -> models/WORLD/vae.safetensors, results/WORLD/train_vae
Two to four minutes for 128,000 to 256,000 frames on two cores.
Paper: appendix A.1; loss and KL tolerance: WorldModelsExperiments carracing/vae/vae.py.
"""

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from worldmodels.networks.trainer import Trainer, due
from worldmodels.pipeline import stage
from worldmodels.pipeline.params import Count, NonNegative, Part, Positive, Seed, Share
from worldmodels.pipeline.storage import write_csv, write_json
from worldmodels.records.scenes import Scenes
from worldmodels.records.split import held_out
from worldmodels.reports.examples import write_examples
from worldmodels.runtime import resumable
from worldmodels.runtime.checkpoint import Checkpoint
from worldmodels.runtime.precision import warn_of_slow_precision
from worldmodels.runtime.progress import Progress
from worldmodels.runtime.seeds import generator, torch_generator
from worldmodels.vision.vae import (
    VAE,
    VAEConfig,
    latents_in_use,
    load_vae,
    save_vae,
    to_input,
    vae_loss,
)

EVALUATION_BATCH = 128  # images; the losses are means over all of them


class TrainingConfig(VAEConfig):
    """The section `vae` of params.yaml."""

    kl_tolerance: NonNegative
    learning_rate: Positive
    batch_size: Count
    precision: Literal["float32", "bfloat16"]
    weights_dtype: Literal["float32", "float16", "bfloat16"]
    validation_frames: Count
    validations: Count
    in_use_above: Positive


class World(Part):
    vae_frames: Count


class Params(Part):
    seed: Seed
    validation_share: Share
    machine: stage.Machine
    vae: TrainingConfig
    world: World


def train(
    vae: VAE,
    scenes: Scenes,
    training: np.ndarray,
    validation: np.ndarray,
    params: Params,
    device: torch.device,
    checkpoint: Checkpoint,
) -> list[dict[str, float]]:
    """Train on frames `training`, measure on frames `validation`; return the rows of a curve.

    Continues from a state of `checkpoint`, if it holds one, to the same bytes as without a stop.
    Raises UserError if the loss is not finite.
    """
    config, size = params.vae, params.vae.batch_size
    steps = max(params.world.vae_frames // size, 1)
    trainer = Trainer(vae, config.learning_rate, steps)
    noise = torch_generator(params.seed, "vae", "noise")
    order = shuffled(training, steps * size, generator(params.seed, "vae", "order"))
    rows: list[dict[str, float]] = []
    recent, done = torch.zeros(3), 0
    if state := checkpoint.resume():
        trainer.restore(state["trainer"])
        noise.set_state(state["noise"])
        rows, recent, done = state["rows"], state["recent"], state["done"]

    batches = scenes.batches(order[done * size :], size, params.machine.threads)
    with Progress("train_vae", steps * size, "frames", done * size) as progress:
        for step, pictures in enumerate(batches, start=done + 1):
            losses = training_losses(vae, pictures, noise, config, device)
            trainer.step(losses[0], "vae.learning_rate", f"{step * size} frames")
            recent += torch.stack(losses).detach().cpu()
            progress.advance(size)
            if due(step, steps, config.validations):
                count = step - (rows[-1]["frames"] // size if rows else 0)
                row: dict[str, float] = {"frames": step * size}
                row |= dict(zip(("loss", "squared_error", "kl"), (recent / count).tolist()))
                row |= measure(vae, scenes, validation, params, device)[0]
                rows.append(row)
                recent = torch.zeros(3)
                progress.note = f"error {row['val_squared_error']:.1f} KL {row['val_kl']:.1f}"
            if checkpoint.due():
                progress_so_far = {"rows": rows, "recent": recent, "done": step}
                random = {"noise": noise.get_state()}
                checkpoint.save({"trainer": trainer.state()} | random | progress_so_far)
    return rows


def training_losses(
    vae: VAE,
    pictures: np.ndarray,
    noise: torch.Generator,
    config: TrainingConfig,
    device: torch.device,
) -> tuple[Tensor, Tensor, Tensor]:
    """Run V forward on `pictures` uint8 [B, 64, 64, 3]; return `vae_loss` of them, in float32.

    The network may compute in bfloat16; the sums over 12,288 pixels need float32.
    """
    x = to_input(torch.from_numpy(pictures).to(device))
    draw = torch.randn(len(x), config.latent_size, generator=noise).to(device)
    with torch.autocast(device.type, torch.bfloat16, config.precision == "bfloat16"):
        reconstruction, mu, logvar = vae(x, draw)
    return vae_loss(x, reconstruction.float(), mu.float(), logvar.float(), config.kl_tolerance)


def shuffled(frames: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return `count` frame numbers: pass after pass over `frames`, each newly shuffled."""
    passes = -(-count // len(frames))
    return np.concatenate([rng.permutation(frames) for _ in range(passes)])[:count]


@torch.inference_mode()
def measure(
    vae: VAE, scenes: Scenes, frames: np.ndarray, params: Params, device: torch.device
) -> tuple[dict[str, float], Tensor]:
    """Return the losses per image on held-out `frames`, with z sampled, and their mu [n, Z]."""
    noise = torch_generator(params.seed, "vae", "validation")
    total, mus = torch.zeros(3), []
    for pictures in scenes.batches(frames, EVALUATION_BATCH, params.machine.threads):
        x = to_input(torch.from_numpy(pictures).to(device))
        draw = torch.randn(len(x), params.vae.latent_size, generator=noise).to(device)
        reconstruction, mu, logvar = vae(x, draw)
        parts = vae_loss(x, reconstruction, mu, logvar, params.vae.kl_tolerance)
        total += torch.stack(parts).cpu() * len(x)
        mus.append(mu.cpu())
    values = (total / len(frames)).tolist()
    return dict(zip(("val_loss", "val_squared_error", "val_kl"), values)), torch.cat(mus)


def main(name: str, params: Params, checkpoint: Checkpoint) -> None:
    device = stage.prepare(params.machine.device, params.machine.threads)
    warn_of_slow_precision(params.vae.precision, "vae.precision", device)
    scenes = Scenes.load(Path("data") / name / "scenes")
    rng = generator(params.seed, "vae", "held out")
    held = held_out(scenes.lengths, params.validation_share, params.seed)[scenes.episode_of]
    validation = rng.permutation(np.flatnonzero(held))[: params.vae.validation_frames]

    torch.manual_seed(torch_generator(params.seed, "vae", "weights").initial_seed())
    vae = VAE(VAEConfig(latent_size=params.vae.latent_size))
    vae = vae.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    rows = train(vae, scenes, np.flatnonzero(~held), validation, params, device, checkpoint)

    model = Path("models") / name / "vae.safetensors"
    results = Path("results") / name / "train_vae"
    save_vae(model, vae.cpu(), params.vae.weights_dtype)

    vae = load_vae(model)  # measure what was saved: its weights are rounded
    losses, mu = measure(vae, scenes, validation, params, torch.device("cpu"))
    used = latents_in_use(mu.var(dim=0), params.vae.in_use_above)
    write_csv(results / "curve.csv", rows)
    write_json(results / "metrics.json", losses | {"latents_in_use": used})
    examples = scenes.draw(np.resize(validation, 16))
    write_examples(vae, examples, mu, torch_generator(params.seed, "vae", "prior"), results)


if __name__ == "__main__":
    resumable.run("train_vae", Params, main)
