"""The agent that acts: V's encoder, M's memory and C in one file and in one batched step."""

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from worldmodels.control.controller import HIDDEN_UNITS, Inputs, act, parameter_count
from worldmodels.memory.mdnrnn import ACTION_SIZE, MDNRNN
from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.params import Count, Section, from_file
from worldmodels.pipeline.storage import load_model, restore, save_model
from worldmodels.runtime.batch import FIXED_BATCH
from worldmodels.runtime.seeds import generator
from worldmodels.vision.encoder import BatchEncoder
from worldmodels.vision.vae import VAE, ImageEncoder, VAEConfig

KIND = "agent"


class AgentConfig(Section):
    inputs: Inputs
    latent: Literal["mu", "sample"]
    precision: Literal["float32", "bfloat16"]
    latent_size: Count
    hidden_size: Count


@dataclass(frozen=True)
class Agent:
    """All that acting takes. `parameters` [C, P] float64: one controller or many candidates.

    `gates` [Z + 3 + H, 4H] and `gate_bias` [4H]: M's LSTM, in torch's order of gates.
    """

    config: AgentConfig
    encoder: ImageEncoder
    gates: Tensor
    gate_bias: Tensor
    parameters: np.ndarray

    @classmethod
    def of(cls, config: AgentConfig, vae: VAE, memory: MDNRNN, parameters: np.ndarray) -> "Agent":
        """Put an agent together. Raises UserError if V, M and C are not of one size."""
        wanted = parameter_count(config.inputs, config.latent_size, config.hidden_size)
        sizes = {
            "V's latents": (vae.config.latent_size, config.latent_size),
            "M's latents": (memory.latent_size, config.latent_size),
            "M's hidden state": (memory.config.hidden_size, config.hidden_size),
            "C's parameters": (parameters.shape[1], wanted),
        }
        for name, (found, expected) in sizes.items():
            if found != expected:
                raise UserError(f"{name}: {found} where the agent has {expected}")
        lstm = dict(memory.lstm.named_parameters())
        gates = torch.cat([lstm["weight_ih_l0"], lstm["weight_hh_l0"]], dim=1).T.contiguous()
        bias = lstm["bias_ih_l0"] + lstm["bias_hh_l0"]
        encoder = copy.deepcopy(vae.encoder).half().float()  # as it will be saved
        return cls(config, encoder, gates.detach(), bias.detach(), parameters)

    def with_candidates(self, parameters: np.ndarray) -> "Agent":
        """The same V and M under other controllers [C, P]."""
        return replace(self, parameters=parameters)

    def save(self, path: Path) -> None:
        """Save encoder (float16), memory and the one controller (float64)."""
        encoder = {
            f"encoder.{name}": tensor.half() for name, tensor in self.encoder.state_dict().items()
        }
        rest = {
            "memory.gates": self.gates,
            "memory.bias": self.gate_bias,
            "controller": torch.from_numpy(self.parameters[0]),
        }
        save_model(path, KIND, self.config.model_dump(), encoder | rest)

    @classmethod
    def load(cls, path: Path) -> "Agent":
        """Load an agent. Raises UserError if the file is damaged or its parts do not fit."""
        raw_config, tensors = load_model(path, KIND)
        config = from_file(AgentConfig, raw_config, path)
        parameters = tensors.pop("controller").numpy()[None]
        gates, bias = tensors.pop("memory.gates"), tensors.pop("memory.bias")
        wanted = parameter_count(config.inputs, config.latent_size, config.hidden_size)
        rows = config.latent_size + ACTION_SIZE + config.hidden_size
        columns = 4 * config.hidden_size
        sizes = parameters.shape[1], gates.shape, bias.shape
        if sizes != (wanted, (rows, columns), (columns,)):
            raise UserError(f"{path}: the sizes of its parts do not fit its config {config}")
        encoder = ImageEncoder(VAEConfig(latent_size=config.latent_size))
        weights = {name.removeprefix("encoder."): tensor for name, tensor in tensors.items()}
        return cls(config, restore(encoder, weights, path), gates, bias, parameters)


class AgentDriver:
    """Drives many cars at once, each under its own controller; a driver for `driving.drive`."""

    def __init__(self, agent: Agent, slots: int, noise_seed: int, device: str):
        self.agent, self.seed = agent, noise_seed
        size = agent.config.hidden_size
        self.encoder = BatchEncoder(agent.encoder, agent.config.precision, device)
        self.hidden = torch.zeros(slots, size)
        self.cell = torch.zeros(slots, size)
        self.candidates = np.zeros(slots, dtype=np.int64)
        self.random: list[np.random.Generator | None] = [None] * slots
        self.hidden_units = HIDDEN_UNITS if agent.config.inputs == "z+hidden" else 0

    def start(self, slot: int, candidate: int, track: int) -> None:
        """A new episode begins in a slot: forget the last one."""
        self.hidden[slot] = self.cell[slot] = 0
        self.candidates[slot] = candidate
        if self.agent.config.latent == "sample":
            self.random[slot] = generator(self.seed, "latent", track)

    def act(self, slots: np.ndarray, observations: np.ndarray) -> np.ndarray:
        """Actions [n, 3] float32 for the cars in `slots` [n], which see uint8 [n, 64, 64, 3]."""
        features = self.features(slots, observations)
        return act(self.agent.parameters, self.candidates[slots], features, self.hidden_units)

    @torch.inference_mode()
    def features(self, slots: np.ndarray, observations: np.ndarray) -> np.ndarray:
        """What C is given, float64 [n, Z] or [n, Z + H], of the cars in `slots` [n]."""
        count = len(slots)
        rows = -(-count // FIXED_BATCH) * FIXED_BATCH
        padded = np.zeros((rows, *observations.shape[1:]), dtype=np.uint8)
        padded[:count] = observations
        mu, logvar = self.encoder(padded)
        self.seen = mu if self.agent.config.latent == "mu" else self._sample(mu, logvar, slots)
        features = self.seen[:count]
        if self.agent.config.inputs == "z+h":
            features = torch.cat([features, self.hidden[slots]], dim=1)
        return features.double().numpy()

    @torch.inference_mode()
    def took(self, slots: np.ndarray, actions: np.ndarray) -> None:
        """M takes in what was seen last and the actions [n, 3] that were really applied."""
        if self.agent.config.inputs == "z+h":
            self._remember(slots, self.seen, torch.from_numpy(actions))

    def _sample(self, mu: Tensor, logvar: Tensor, slots: np.ndarray) -> Tensor:
        noise = torch.zeros_like(mu)
        for row, slot in enumerate(slots):
            rng = self.random[slot]
            assert rng is not None
            noise[row] = torch.from_numpy(rng.standard_normal(mu.shape[1]))
        return mu + (0.5 * logvar).exp() * noise

    def _remember(self, slots: np.ndarray, z: Tensor, actions: Tensor) -> None:
        """M's LSTM takes in (z, a): paper, figure 4; one group of cars at a time."""
        count = len(slots)
        for start in range(0, count, FIXED_BATCH):
            part = slots[start : start + FIXED_BATCH]
            inputs = torch.zeros(FIXED_BATCH, self.agent.gates.shape[0])
            cell = torch.zeros(FIXED_BATCH, self.cell.shape[1])
            n, size = len(part), z.shape[1]
            inputs[:n, :size] = z[start : start + n]
            inputs[:n, size : size + ACTION_SIZE] = actions[start : start + n]
            inputs[:n, size + ACTION_SIZE :] = self.hidden[part]
            cell[:n] = self.cell[part]
            gates = torch.addmm(self.agent.gate_bias, inputs, self.agent.gates)
            write, forget, candidate, output = gates.chunk(4, dim=1)
            cell = forget.sigmoid() * cell + write.sigmoid() * candidate.tanh()
            self.cell[part] = cell[:n]
            self.hidden[part] = (output.sigmoid() * cell.tanh())[:n]
