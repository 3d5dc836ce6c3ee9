"""The paper's policy for the first record: a new random agent drives each episode.

Ha & Schmidhuber's released code draws the weights of V, M and C for each episode from a Cauchy
distribution, whose scale is itself drawn between 0 and 0.01. Most such agents act nearly the same
in every frame.
"""

import numpy as np
import torch
from torch import nn

from worldmodels.agent.agent import Agent, AgentConfig
from worldmodels.control.controller import parameter_count
from worldmodels.memory.mdnrnn import MDNRNN, MDNRNNConfig
from worldmodels.vision.vae import VAE, VAEConfig

LATENT_SIZE, HIDDEN_SIZE, MIXTURES = 32, 256, 5  # the paper's
LARGEST_SCALE = 0.01
LARGEST_WEIGHT = 100.0  # a Cauchy distribution has no bound, and float16 has one


def random_agent(rng: np.random.Generator) -> Agent:
    """An agent of the paper's sizes, all of whose weights are drawn by `rng`."""
    scale = rng.uniform(0, LARGEST_SCALE)

    def draw(*shape: int) -> np.ndarray:
        weights = scale * rng.standard_cauchy(shape)
        return np.clip(weights, -LARGEST_WEIGHT, LARGEST_WEIGHT)

    def draw_weights(model: nn.Module) -> None:
        for parameter in model.parameters():
            parameter.data = torch.from_numpy(draw(*parameter.shape)).float()
            parameter.requires_grad_(False)

    vae = VAE(VAEConfig(latent_size=LATENT_SIZE))
    sizes = MDNRNNConfig(
        hidden_size=HIDDEN_SIZE, mixtures=MIXTURES, reward_and_end=False, reward_steps=1
    )
    memory = MDNRNN(sizes, LATENT_SIZE)
    draw_weights(vae.encoder)
    draw_weights(memory.lstm)
    config = AgentConfig(
        inputs="z+h",
        latent="mu",
        precision="float32",
        latent_size=LATENT_SIZE,
        hidden_size=HIDDEN_SIZE,
    )
    return Agent.of(config, vae, memory, draw(1, parameter_count(config.features, 0)))
