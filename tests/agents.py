"""Small agents for tests, with weights drawn at random, and params of their training by PPO."""

import numpy as np
import torch

from worldmodels.agent.agent import Agent, AgentConfig
from worldmodels.control.controller import feature_count, parameter_count
from worldmodels.environment.privileged import PrivilegedConfig
from worldmodels.memory.mdnrnn import MDNRNN, MDNRNNConfig
from worldmodels.vision.vae import VAE, VAEConfig

PRIVILEGED = PrivilegedConfig(
    road_ahead=[0, 2, 4, 7, 10, 14, 18, 23, 28, 34],
    speed_scale=25.0,
    wheel_speed_scale=100.0,
    distance_scale=20.0,
    distance_limit=4.0,
    reach=60,
    behind=5,
    coast=15,
)
LEARNING = {
    "gae_lambda": 0.9,
    "clip": 0.2,
    "epochs": 4,
    "batch_size": 64,
    "learning_rate": [0.01, 0.01],
    "critic_learning_rate": [0.01, 0.01],
    "critic_units": 8,
    "value_scale": 50.0,
    "output_cost": [0.0, 0.0, 0.0],
}


def make_agent(
    candidates=5, inputs="z+h", latent="mu", precision="float32", latent_size=8, hidden_size=16
) -> Agent:
    torch.manual_seed(1)
    vae = VAE(VAEConfig(latent_size=latent_size)).requires_grad_(False)
    sizes = MDNRNNConfig(hidden_size=hidden_size, mixtures=2, reward_and_end=False, reward_steps=1)
    memory = MDNRNN(sizes, latent_size).requires_grad_(False)
    config = AgentConfig(
        inputs=inputs,
        latent=latent,
        precision=precision,
        latent_size=latent_size,
        hidden_size=hidden_size,
    )
    features = feature_count(inputs, latent_size, hidden_size)
    count = parameter_count(features, 40 if inputs == "z+hidden" else 0)
    parameters = np.random.default_rng(1).normal(size=(candidates, count))
    return Agent.of(config, vae, memory, parameters)
