"""An agent that acts: one batched step of V, C and M for many environments."""

import numpy as np
import torch
from torch import Tensor

from worldmodels.agent.agent import Agent
from worldmodels.control.controller import act
from worldmodels.runtime.batch import FIXED_BATCH
from worldmodels.runtime.seeds import generator
from worldmodels.vision.encoder import BatchEncoder
from worldmodels.vision.sampling import reparameterise


class AgentDriver:
    """Acts in many environments at once, in each under a controller of its own.

    `noise_seed` seeds the samples of z where the agent takes them; each episode draws its own,
    whatever else is in the batch.
    """

    def __init__(self, agent: Agent, slots: int, noise_seed: int, device: str):
        self.agent, self.seed = agent, noise_seed
        self.encoder = BatchEncoder(agent.encoder, agent.config.precision, device)
        self.memory = agent.memory.start(slots)
        self.candidates = np.zeros(slots, dtype=np.int64)
        self.random: list[np.random.Generator | None] = [None] * slots
        self.hidden_units = agent.hidden_units
        self.sees_memory = agent.config.inputs == "z+h"

    def start(self, slot: int, candidate: int, episode: int) -> None:
        """Begin an episode in a slot, under the controller in row `candidate`; its samples of z
        follow from the number `episode`, that of its track where it is scored."""
        self.agent.memory.reset(self.memory, slot)
        self.candidates[slot] = candidate
        if self.agent.config.latent == "sample":
            self.random[slot] = generator(self.seed, "latent", episode)

    def act(self, slots: np.ndarray, observations: np.ndarray) -> np.ndarray:
        """Actions [n, A] float32 for `observations` uint8 [n, 64, 64, 3] of the `slots` [n]."""
        features = self.features(slots, observations)
        return act(self.agent.parameters, self.candidates[slots], features, self.hidden_units)

    @torch.inference_mode()
    def features(self, slots: np.ndarray, observations: np.ndarray) -> np.ndarray:
        """The features that C is given, float64 [n, F], for `observations` of the `slots` [n].

        h is the state *before* z is added to it, as in the paper's code.
        """
        count = len(slots)
        rows = -(-count // FIXED_BATCH) * FIXED_BATCH
        padded = np.zeros((rows, *observations.shape[1:]), dtype=np.uint8)
        padded[:count] = observations
        mu, logvar = self.encoder(padded)
        self.z = mu if self.agent.config.latent == "mu" else self._sample(mu, logvar, slots)
        features = self.z[:count]
        if self.sees_memory:
            remembered = self.agent.memory.features(self.memory, slots)
            features = torch.cat([features, remembered], dim=1)
        return features.double().numpy()

    @torch.inference_mode()
    def remember(self, slots: np.ndarray, actions: np.ndarray) -> None:
        """Advance M by the z of the last `features` and the actions [n, A] that were applied."""
        if self.sees_memory:
            self.agent.memory.step(self.memory, slots, self.z, torch.from_numpy(actions))

    def _sample(self, mu: Tensor, logvar: Tensor, slots: np.ndarray) -> Tensor:
        """z [rows, Z] drawn from N(mu, exp(logvar)), each row by its episode's generator."""
        noise = torch.zeros_like(mu)
        for row, slot in enumerate(slots):
            rng = self.random[slot]
            assert rng is not None
            noise[row] = torch.from_numpy(rng.standard_normal(mu.shape[1]))
        return reparameterise(mu, logvar, noise)
