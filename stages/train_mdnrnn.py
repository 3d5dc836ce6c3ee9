"""Train M, the MDN-RNN, to predict the next latents, the reward and the end.

data/WORLD/latents.parquet -> models/WORLD/mdnrnn.safetensors, results/WORLD/train_mdnrnn
A minute for 3 million steps on two cores.
Paper: appendix A.2; a fresh z in every batch: WorldModelsExperiments carracing/rnn_train.py.
"""

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from worldmodels.memory.mdnrnn import MDNRNN, Losses, MDNRNNConfig, mdnrnn_losses, save_mdnrnn
from worldmodels.memory.windows import Sequences, with_rewards_ahead
from worldmodels.networks.trainer import Trainer, due
from worldmodels.pipeline import stage
from worldmodels.pipeline.params import Count, NonNegative, Part, Positive, Seed, Share
from worldmodels.pipeline.storage import write_csv, write_json
from worldmodels.records.latents import Latents
from worldmodels.records.split import held_out
from worldmodels.runtime import resumable
from worldmodels.runtime.checkpoint import Checkpoint
from worldmodels.runtime.progress import Progress
from worldmodels.runtime.seeds import generator, torch_generator
from worldmodels.vision.sampling import reparameterise


class TrainingConfig(MDNRNNConfig):
    """The section `mdnrnn` of params.yaml."""

    learning_rate: Positive
    batch_size: Count
    sequence: Count
    gradient_clip: Positive
    reward_weight: NonNegative
    end_weight: NonNegative
    validations: Count

    def network(self) -> MDNRNNConfig:
        """Return the part that M's model file carries."""
        return MDNRNNConfig(**self.model_dump(include=set(MDNRNNConfig.model_fields)))


class World(Part):
    mdnrnn_steps: Count


class Params(Part):
    seed: Seed
    validation_share: Share
    machine: stage.Machine
    mdnrnn: TrainingConfig
    world: World


def train(
    model: MDNRNN,
    training: Sequences,
    validation: Sequences,
    params: Params,
    device: torch.device,
    checkpoint: Checkpoint,
) -> list[dict[str, float]]:
    """Train on windows of `training`, measure on `validation`; return the rows of a curve.

    Continues from a state of `checkpoint`, if it holds one, to the same bytes as without a stop.
    Raises UserError if the loss is not finite.
    """
    config = params.mdnrnn
    size = config.batch_size * config.sequence
    batches = max(params.world.mdnrnn_steps // size, 1)
    trainer = Trainer(model, config.learning_rate, batches)
    rng = generator(params.seed, "mdnrnn", "windows")
    noise = torch_generator(params.seed, "mdnrnn", "noise")
    rows: list[dict[str, float]] = []
    recent: list[float] = []
    done = 0
    if state := checkpoint.resume():
        trainer.restore(state["trainer"])
        rng.bit_generator.state = state["rng"]
        noise.set_state(state["noise"])
        rows, recent, done = state["rows"], state["recent"], state["done"]

    with Progress("train_mdnrnn", batches * size, "steps", done * size) as progress:
        for batch in range(done + 1, batches + 1):
            windows = training.windows(config.batch_size, config.sequence, rng)
            losses = predict(model, windows, noise, device)
            loss, so_far = weighted(losses, config), f"{batch * size} steps"
            trainer.step(loss, "mdnrnn.learning_rate", so_far, config.gradient_clip)

            recent.append(losses.nll.item())
            progress.advance(size)
            if due(batch, batches, config.validations):
                row = {"steps": batch * size, "nll": sum(recent) / len(recent)}
                rows.append(row | measure(model, validation, params, device))
                recent = []
                progress.note = f"NLL {rows[-1]['val_nll']:.3f}"
            if checkpoint.due():
                progress_so_far = {"rows": rows, "recent": recent, "done": batch}
                random = {"rng": rng.bit_generator.state, "noise": noise.get_state()}
                checkpoint.save({"trainer": trainer.state()} | random | progress_so_far)
    return rows


def predict(
    model: MDNRNN, windows: dict[str, Tensor], noise: torch.Generator, device: torch.device
) -> Losses:
    """Return M's losses on `windows` of `Sequences`, with z drawn from (mu, logvar) each time."""
    mu = windows["mu"]
    draw = torch.randn(mu.shape, generator=noise)
    z = reparameterise(mu, windows["logvar"], draw).to(device)
    rest = {name: windows[name].to(device) for name in windows if name not in ("mu", "logvar")}
    state = model.initial_state(len(z))
    state = type(state)(*(part.to(device) for part in state))
    prediction, _ = model(z[:, :-1], rest["action"], state)
    return mdnrnn_losses(
        prediction, z[:, 1:], rest["reward"], rest["terminated"], rest["has_next"], rest["is_step"]
    )


def weighted(losses: Losses, config: TrainingConfig) -> Tensor:
    """Return the loss to minimise: the NLL plus the weighted losses of reward and end.

    The squared error of a mean of n rewards falls as 1/n: times n, its share stays the same.
    """
    reward_weight = config.reward_weight * config.reward_steps
    return losses.nll + reward_weight * losses.reward + config.end_weight * losses.end


@torch.inference_mode()
def measure(
    model: MDNRNN, validation: Sequences, params: Params, device: torch.device
) -> dict[str, float]:
    """Return the losses on whole held-out episodes: NLL in nats per dimension, reward, end."""
    noise = torch_generator(params.seed, "mdnrnn", "validation")
    totals, counts = np.zeros(3), np.zeros(3)
    for windows in validation.episodes(params.mdnrnn.batch_size):
        losses = predict(model, windows, noise, device)
        weights = [windows["has_next"].sum().item(), *[windows["is_step"].sum().item()] * 2]
        totals += np.array([loss.item() for loss in losses]) * weights
        counts += weights
    return dict(zip(("val_nll", "val_reward", "val_end"), (totals / counts).tolist()))


def baselines(training: Sequences, validation: Sequences, params: Params) -> dict[str, float]:
    """Return the held-out NLL per dimension of two Gaussians fitted to the training episodes.

    `baseline_same_nll`: around the previous z, each dimension with its own variance.
    `baseline_gaussian_nll`: one fixed Gaussian per dimension, whatever came before.
    """
    noise = torch_generator(params.seed, "mdnrnn", "baselines")
    now, after = training.pairs(noise)
    held_now, held_after = validation.pairs(noise)
    spread = (after - now).square().mean(dim=0)
    centre, width = after.mean(dim=0), after.var(dim=0)
    return {
        "baseline_same_nll": gaussian_nll(held_after - held_now, spread),
        "baseline_gaussian_nll": gaussian_nll(held_after - centre, width),
    }


def gaussian_nll(error: Tensor, variance: Tensor) -> float:
    """Return the mean NLL in nats of errors [n, Z] under N(0, variance [Z])."""
    return float(
        (0.5 * (error.square() / variance + variance.log() + math.log(2 * math.pi))).mean()
    )


def main(name: str, params: Params, checkpoint: Checkpoint) -> None:
    device = stage.prepare(params.machine.device, params.machine.threads)
    latents = Latents.load(Path("data") / name / "latents.parquet")
    held = held_out(latents.lengths, params.validation_share, params.seed)
    latents = with_rewards_ahead(latents, params.mdnrnn.reward_steps)
    training, validation = Sequences(latents, ~held), Sequences(latents, held)

    torch.manual_seed(torch_generator(params.seed, "mdnrnn", "weights").initial_seed())
    model = MDNRNN(params.mdnrnn.network(), latents.mu.shape[1]).to(device)
    rows = train(model, training, validation, params, device, checkpoint)

    save_mdnrnn(Path("models") / name / "mdnrnn.safetensors", model.cpu())
    results = Path("results") / name / "train_mdnrnn"
    last = {key: value for key, value in rows[-1].items() if key.startswith("val_")}
    write_csv(results / "curve.csv", rows)
    write_json(results / "metrics.json", last | baselines(training, validation, params))


if __name__ == "__main__":
    resumable.run("train_mdnrnn", Params, main)
