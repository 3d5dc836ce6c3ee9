"""Encode every recorded frame with V.

data/WORLD/scenes, models/WORLD/vae.safetensors -> data/WORLD/latents.parquet
Half a minute for 150,000 frames on two cores.
Source: WorldModelsExperiments carracing/series.py, which stores (mu, logvar) as well.
"""

from pathlib import Path
from typing import Literal

import numpy as np
import torch

from worldmodels.pipeline import stage
from worldmodels.pipeline.params import Part, Positive, Section
from worldmodels.records.latents import Latents, quantise
from worldmodels.records.scenes import Scenes
from worldmodels.runtime.batch import FIXED_BATCH
from worldmodels.runtime.precision import warn_of_slow_precision
from worldmodels.runtime.progress import Progress
from worldmodels.vision.encoder import BatchEncoder
from worldmodels.vision.vae import VAE, load_vae

BATCH = 8 * FIXED_BATCH  # frames drawn at a time; no result depends on it


class EncodeConfig(Section):
    precision: Literal["float32", "bfloat16"]
    resolution: Positive


class World(Part):
    """This stage reads no key of its world."""


class Params(Part):
    machine: stage.Machine
    encode: EncodeConfig
    world: World


@torch.inference_mode()
def encode(vae: VAE, scenes: Scenes, params: Params) -> Latents:
    """Encode every frame; round (mu, logvar) to the resolution, keep whatever else M needs."""
    config, machine = params.encode, params.machine
    encoder = BatchEncoder(vae.encoder, config.precision, machine.device)
    frames = len(scenes)
    padded = -(-frames // FIXED_BATCH) * FIXED_BATCH
    order = np.resize(np.arange(frames), padded)  # begins again from frame 0; cut off below
    parts = []
    with Progress("encode", frames, "frames") as progress:
        for pictures in scenes.batches(order, BATCH, machine.threads):
            parts.append(torch.stack(encoder(pictures)).numpy())
            progress.advance(len(pictures))
    mu, logvar = np.concatenate(parts, axis=1)[:, :frames]
    return Latents(
        mu=quantise(mu, config.resolution),
        logvar=quantise(logvar, config.resolution),
        actions=scenes.actions,
        rewards=scenes.rewards,
        terminated=scenes.terminated(),
        episode=scenes.episode_of.astype(np.int32),
    )


def main(name: str, params: Params) -> None:
    device = stage.prepare(params.machine.device, params.machine.threads)
    warn_of_slow_precision(params.encode.precision, "encode.precision", device)
    vae = load_vae(Path("models") / name / "vae.safetensors")
    scenes = Scenes.load(Path("data") / name / "scenes")
    latents = encode(vae, scenes, params)
    latents.save(Path("data") / name / "latents.parquet")


if __name__ == "__main__":
    stage.run("encode", Params, main)
