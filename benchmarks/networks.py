"""V and M: what training and encoding reach, beside what the processor could do at best."""

import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.timing import rates
from stages import train_mdnrnn, train_vae
from worldmodels.agent.agent import Agent
from worldmodels.memory.mdnrnn import MDNRNN
from worldmodels.memory.windows import Sequences, with_rewards_ahead
from worldmodels.networks.trainer import Training
from worldmodels.pipeline.params import load
from worldmodels.records.latents import Latents
from worldmodels.records.scenes import Scenes
from worldmodels.runtime.batch import FIXED_BATCH
from worldmodels.runtime.seeds import generator, torch_generator
from worldmodels.vision.encoder import BatchEncoder
from worldmodels.vision.vae import (
    VAE,
    VAEConfig,
    to_input,
    vae_loss,
)

FLOP_A_FRAME = 29.5e6  # of the encoder's convolutions and its last layer


def matrix_speed(dtype: torch.dtype) -> float:
    """The best of 20 products of 2048x2048 matrices on one core, in FLOP/s."""
    torch.set_num_threads(1)
    a, b = torch.randn(2, 2048, 2048).to(dtype).unbind()
    best = float("inf")
    for _ in range(20):
        started = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - started)
    return 2 * 2048**3 / best


def encoding(agent: Agent, rounds: int) -> dict[str, float]:
    """Frames a second that V encodes on one core, in groups of 32 and one at a time."""
    torch.set_num_threads(1)
    frames = np.random.default_rng(1).integers(
        0, 256, (8 * FIXED_BATCH, 64, 64, 3), dtype=np.uint8
    )
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


def training_vae(scenes: Scenes, round_name: str, rounds: int) -> dict[str, float]:
    """Frames a second in V's training, drawn and all, at the params' batch size, all cores."""
    params = load(train_vae.Params, round_name)
    config, steps = params.vae, 6
    torch.set_num_threads(params.machine.threads)
    order = generator(1, "benchmark").integers(0, len(scenes), steps * config.batch_size)
    works = {}
    for precision in ("float32", "bfloat16"):
        vae = VAE(VAEConfig(latent_size=config.latent_size))
        vae = vae.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        learner = Training(vae, config.learning_rate, 10**6)

        def work(vae: VAE = vae, learner: Training = learner, low: str = precision) -> float:
            for pictures in scenes.batches(order, config.batch_size, params.machine.threads):
                x = to_input(torch.from_numpy(pictures))
                noise = torch.randn(len(x), config.latent_size)
                with torch.autocast("cpu", torch.bfloat16, low == "bfloat16"):
                    made, mu, logvar = vae(x, noise)
                parts = (made.float(), mu.float(), logvar.float(), config.kl_tolerance)
                learner.step(vae_loss(x, *parts)[0], "vae.learning_rate", "the benchmark")
            return len(order)

        works[precision] = work
    return rates(works, rounds)


def training_mdnrnn(latents: Latents, round_name: str, rounds: int) -> float:
    """Steps a second in M's training, at the params' batch, all cores."""
    params = load(train_mdnrnn.Params, round_name)
    config = params.mdnrnn
    torch.set_num_threads(params.machine.threads)
    latents = with_rewards_ahead(latents, config.reward_steps)
    sequences = Sequences(latents, np.ones(len(latents.lengths), dtype=bool))
    model = MDNRNN(config.network(), latents.mu.shape[1])
    learner = Training(model, config.learning_rate, 10**6)
    rng, noise = generator(1, "benchmark"), torch_generator(1, "benchmark")

    def work() -> float:
        for _ in range(4):
            windows = sequences.windows(config.batch_size, config.sequence, rng)
            losses = train_mdnrnn.predict(model, windows, noise, torch.device("cpu"))
            loss = train_mdnrnn.weighted(losses, config)
            learner.step(loss, "mdnrnn.learning_rate", "the benchmark", config.gradient_clip)
        return 4 * config.batch_size * config.sequence

    return rates({"mdnrnn": work}, rounds)["mdnrnn"]


def load_round(name: str) -> tuple[Agent, Scenes, Latents]:
    """What a trained round left: the agent and the record it learnt from."""
    return (
        Agent.load(Path("models") / name / "agent.safetensors"),
        Scenes.load(Path("data") / name / "scenes"),
        Latents.load(Path("data") / name / "latents.parquet"),
    )
