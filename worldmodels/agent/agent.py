"""The trained agent: V's encoder, M's memory and C in one file."""

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from worldmodels.control.controller import Inputs, feature_count, hidden_units_of
from worldmodels.memory.mdnrnn import MDNRNN
from worldmodels.memory.step import MemoryStep
from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.params import Count, Section, from_file
from worldmodels.pipeline.storage import load_model, restore, save_model
from worldmodels.vision.vae import VAE, ImageEncoder, VAEConfig

KIND = "agent"


class AgentConfig(Section):
    """`inputs` of C; `latent`: z is mu or a sample; `precision` of V when it acts."""

    inputs: Inputs
    latent: Literal["mu", "sample"]
    precision: Literal["float32", "bfloat16"]
    latent_size: Count
    hidden_size: Count

    @property
    def features(self) -> int:
        """The number of features that C is given."""
        return feature_count(self.inputs, self.latent_size, self.hidden_size)


@dataclass(frozen=True)
class Agent:
    """All that it takes to act. `parameters` float64 [C, P]: one controller, or many candidates.

    `hidden_units` raises ValueError if no controller has P parameters.
    """

    config: AgentConfig
    encoder: ImageEncoder
    memory: MemoryStep
    parameters: np.ndarray

    @classmethod
    def of(cls, config: AgentConfig, vae: VAE, memory: MDNRNN, parameters: np.ndarray) -> "Agent":
        """Put an agent together. Raises UserError if the sizes of V, M and C do not fit."""
        sizes = {
            "V's latents": (vae.config.latent_size, config.latent_size),
            "M's latents": (memory.latent_size, config.latent_size),
            "M's hidden state": (memory.config.hidden_size, config.hidden_size),
        }
        for name, (found, expected) in sizes.items():
            if found != expected:
                raise UserError(
                    f"{name}: {found} where the agent has {expected}; V, M and C are of different "
                    "runs: `dvc repro` trains what is out of date"
                )
        encoder = copy.deepcopy(vae.encoder).half().float()  # as it will be saved
        agent = cls(config, encoder, MemoryStep.of(memory), parameters)
        try:
            _ = agent.hidden_units  # refuses a controller of another size
        except ValueError as error:
            raise UserError(f"C's parameters: {error}") from None
        return agent

    @property
    def hidden_units(self) -> int:
        """The units of C's hidden layer, 0 if it is linear."""
        count = self.parameters.shape[1]
        return hidden_units_of(self.config.inputs, self.config.features, count)

    def with_candidates(self, parameters: np.ndarray) -> "Agent":
        """The same V and M under other controllers [C, P]."""
        return replace(self, parameters=parameters)

    def save(self, path: Path) -> None:
        """Save encoder (float16), memory (float32) and the one controller (float64)."""
        encoder = self.encoder.state_dict().items()
        tensors = {f"encoder.{name}": tensor.half() for name, tensor in encoder}
        tensors |= {f"memory.{name}": tensor for name, tensor in self.memory.tensors().items()}
        tensors |= {"controller": torch.from_numpy(self.parameters[0])}
        save_model(path, KIND, self.config.model_dump(), tensors)

    @classmethod
    def load(cls, path: Path) -> "Agent":
        """Load an agent. Raises UserError if the file is damaged or its parts do not fit."""
        raw_config, tensors = load_model(path, KIND)
        config = from_file(AgentConfig, raw_config, path)
        try:
            memory = MemoryStep.from_tensors(_part(tensors, "memory."))
            encoder = ImageEncoder(VAEConfig(latent_size=config.latent_size))
            encoder = restore(encoder, _part(tensors, "encoder."), path)
            agent = cls(config, encoder, memory, tensors["controller"].numpy()[None])
            if not memory.fits(config.latent_size, config.hidden_size):
                raise ValueError(f"memory of another size than {config}")
            _ = agent.hidden_units  # refuses a controller of another size
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}: its parts do not fit its config: {error}") from None
        return agent


def _part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The tensors whose names begin with `prefix`, by the rest of their names."""
    chosen = {name: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    return {name.removeprefix(prefix): tensor for name, tensor in chosen.items()}
