"""Training and encoding speed of V and M, and the processor's peak to compare it with."""

import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.timing import rates
from stages import train_mdnrnn, train_vae
from worldmodels.agent.agent import Agent
from worldmodels.memory.mdnrnn import MDNRNN
from worldmodels.memory.windows import Sequences, with_rewards_ahead
from worldmodels.networks.trainer import Trainer
from worldmodels.pipeline.params import load
from worldmodels.records.latents import Latents
from worldmodels.records.scenes import Scenes
from worldmodels.runtime.batch import FIXED_BATCH
from worldmodels.runtime.seeds import generator, torch_generator
from worldmodels.vision.encoder import BatchEncoder
from worldmodels.vision.vae import VAE, VAEConfig, to_input

FLOP_PER_FRAME = 29.5e6  # of the encoder's convolutions and its last layer


def matrix_speed(dtype: torch.dtype) -> float:
    """Return FLOP/s on one core: the best of 20 products of 2048x2048 matrices in `dtype`."""
    torch.set_num_threads(1)
    a, b = torch.randn(2, 2048, 2048).to(dtype).unbind()
    best = float("inf")
    for _ in range(20):
        started = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - started)
    return 2 * 2048**3 / best


def encoding(agent: Agent, rounds: int) -> dict[str, float]:
    """Return frames per second that V encodes on one core: in batches, and one at a time."""
    torch.set_num_threads(1)
    shape = 8 * FIXED_BATCH, 64, 64, 3
    frames = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    single = to_input(torch.from_numpy(frames[:1]))

    def one_by_one() -> float:
        with torch.inference_mode():
            for _ in range(50):
                agent.encoder(single)
        return 50

    works = {"one_at_a_time_float32": one_by_one}
    for precision in ("float32", "bfloat16"):
        encoder = BatchEncoder(agent.encoder, precision, "cpu")

        def batched(encoder: BatchEncoder = encoder) -> float:
            with torch.inference_mode():
                encoder(frames)
            return len(frames)

        works[precision] = batched
    return rates(works, rounds)


def training_vae(scenes: Scenes, world: str, rounds: int) -> dict[str, float]:
    """Return frames per second of V's training on all cores, drawing the frames included."""
    params = load(train_vae.Params, world)
    steps, size = 6, params.vae.batch_size
    torch.set_num_threads(params.machine.threads)
    order = generator(1, "benchmark").integers(0, len(scenes), steps * size)
    noise = torch_generator(1, "benchmark")
    works = {}
    for precision in ("float32", "bfloat16"):
        config = params.vae.model_copy(update={"precision": precision})
        vae = VAE(VAEConfig(latent_size=config.latent_size))
        vae = vae.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        trainer = Trainer(vae, config.learning_rate, 10**6)

        def work(
            vae: VAE = vae, trainer: Trainer = trainer, config: train_vae.TrainingConfig = config
        ) -> float:
            for pictures in scenes.batches(order, size, params.machine.threads):
                losses = train_vae.training_losses(
                    vae, pictures, noise, config, torch.device("cpu")
                )
                trainer.step(losses[0], "vae.learning_rate", "the benchmark")
            return len(order)

        works[precision] = work
    return rates(works, rounds)


def training_mdnrnn(latents: Latents, world: str, rounds: int) -> float:
    """Return recorded steps per second of M's training on all cores."""
    params = load(train_mdnrnn.Params, world)
    config = params.mdnrnn
    torch.set_num_threads(params.machine.threads)
    latents = with_rewards_ahead(latents, config.reward_steps)
    sequences = Sequences(latents, np.ones(len(latents.lengths), dtype=bool))
    model = MDNRNN(config.network(), latents.mu.shape[1])
    trainer = Trainer(model, config.learning_rate, 10**6)
    rng, noise = generator(1, "benchmark"), torch_generator(1, "benchmark")

    def work() -> float:
        for _ in range(4):
            windows = sequences.windows(config.batch_size, config.sequence, rng)
            losses = train_mdnrnn.predict(model, windows, noise, torch.device("cpu"))
            loss = train_mdnrnn.weighted(losses, config)
            trainer.step(loss, "mdnrnn.learning_rate", "the benchmark", config.gradient_clip)
        return 4 * config.batch_size * config.sequence

    return rates({"mdnrnn": work}, rounds)["mdnrnn"]


def load_round(name: str, world: str) -> tuple[Agent, Scenes, Latents]:
    """Load the agent of a trained round, and the scenes and latents of its world.

    Raises UserError if a file is missing or damaged.
    """
    return (
        Agent.load(Path("models") / name / "agent.safetensors"),
        Scenes.load(Path("data") / world / "scenes"),
        Latents.load(Path("data") / world / "latents.parquet"),
    )
