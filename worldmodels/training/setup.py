"""The setup in which C is trained: an agent without a controller, its M, the record, the space."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch

from worldmodels.agent.agent import Agent, AgentConfig
from worldmodels.control.controller import Inputs, parameter_count
from worldmodels.control.search_space import SearchSpace, raw_space, scaled_space
from worldmodels.control.zeros import zeros
from worldmodels.driving.limits import Limits
from worldmodels.memory.hidden import hidden_states
from worldmodels.memory.mdnrnn import MDNRNN, load_mdnrnn
from worldmodels.pipeline import stage
from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.params import (
    ControllerTrainer,
    Count,
    Natural,
    Part,
    Place,
    Positive,
    Section,
    Seed,
)
from worldmodels.records.latents import Latents
from worldmodels.runtime.precision import warn_of_slow_precision
from worldmodels.runtime.seeds import generator, torch_generator
from worldmodels.training.budget import Budget
from worldmodels.training.candidates import Candidates
from worldmodels.vision.vae import load_vae

ZERO = "worldmodels/control/zeros.py"  # the value of `start` for a C of zeros


class ControllerConfig(Section):
    """The section `controller` of params.yaml."""

    inputs: Inputs
    hidden_units: Count
    latent: Literal["mu", "sample"]
    memory: Literal["trained", "untrained"]
    precision: Literal["float32", "bfloat16"]
    space: Literal["scaled", "raw"]
    std_floor: Positive
    scaling_frames: Count
    validate_every: Count
    validation_tracks: Count


class Round(Part):
    """The keys of a round that concern C's training; dvc.yaml reads `trainer`, `learned_in`.

    `start`: the file of the agent whose C training begins with, or ZERO.
    """

    world: str
    start: str
    trainer: ControllerTrainer
    learned_in: Place
    iterations: Count
    env_steps: Natural
    trial: Natural


class TrainingParams(Part, ABC):
    """The params that all ways of training C have in common.

    Subclasses add the section of the place where C learns, and say how long an episode lasts.
    """

    seed: Seed
    machine: stage.Machine
    controller: ControllerConfig
    round: Round

    def training_seed(self) -> int:
        """The seed of C's training: another one for every trial on the same V and M."""
        rng = generator(self.seed, "controller", "trial", self.round.trial)
        return int(rng.integers(1 << 31))

    def budget(self) -> Budget:
        """The budget of C's training in the round."""
        return Budget(self.round.iterations, self.round.env_steps)

    @abstractmethod
    def limits(self) -> Limits:
        """The limits of an episode on the real track while C is trained."""


class TrainingSetup(NamedTuple):
    """An agent whose controller is zero, the whole of its M, and the latents of the record."""

    agent: Agent
    memory: MDNRNN
    latents: Latents
    params: TrainingParams

    @classmethod
    def load(cls, params: TrainingParams) -> "TrainingSetup":
        """The world of the round, M untrained if params say so.

        Raises UserError for a file that is missing or damaged.
        """
        config, world = params.controller, params.round.world
        models = Path("models") / world
        device = torch.device(params.machine.device)
        warn_of_slow_precision(config.precision, "controller.precision", device)
        vae = load_vae(models / "vae.safetensors")
        memory = load_mdnrnn(models / "mdnrnn.safetensors")
        latents = Latents.load(Path("data") / world / "latents.parquet")
        if config.memory == "untrained":
            seed = torch_generator(params.training_seed(), "memory").initial_seed()
            torch.manual_seed(seed)
            memory = MDNRNN(memory.config, memory.latent_size).requires_grad_(False)
        agent_config = AgentConfig(
            inputs=config.inputs,
            latent=config.latent,
            precision=config.precision,
            latent_size=latents.mu.shape[1],
            hidden_size=memory.config.hidden_size,
        )
        units = config.hidden_units if config.inputs == "z+hidden" else 0
        blank = np.zeros((1, parameter_count(agent_config.features, units)))
        return cls(Agent.of(agent_config, vae, memory, blank), memory, latents, params)

    def make_space(self, components: int, key: str) -> SearchSpace:
        """The space that `controller.space` names, with `components` principal components of h.

        Raises UserError, naming the `key` of params.yaml that set them, if h has fewer.
        """
        config, units = self.params.controller, self.agent.hidden_units
        hidden_size = self.memory.config.hidden_size
        if config.space == "raw":
            return raw_space(units, self.agent.config.features)
        hidden = None
        if config.inputs == "z+h":
            refuse_excess(components, hidden_size, key)
            rng = generator(self.params.seed, "controller", "scaling")
            hidden = hidden_states(self.memory, self.latents, config.scaling_frames, rng)
        mu = self.latents.mu.astype(np.float64)
        return scaled_space(units, mu, hidden, components, config.std_floor)

    def actor_inputs(self, components: int, key: str) -> int:
        """The number of features that PPO's actor is given: `components` principal components
        of h, and z; all features where C is not given h, or where the space is raw.

        Raises UserError, naming the `key` of params.yaml that set them, if h has fewer.
        """
        features, latent_size = self.agent.config.features, self.agent.config.latent_size
        if self.params.controller.inputs != "z+h" or self.params.controller.space == "raw":
            return features
        refuse_excess(components, features - latent_size, key)
        return latent_size + components

    def start(self, space: SearchSpace, key: str) -> np.ndarray:
        """The point of `space` that training begins with.

        Raises UserError for an agent with another V or M than the world of the round, for one
        whose C is given something else or has another hidden layer, and, naming the `key` of
        params.yaml that set the components of h, for one whose C uses more of h.
        """
        path, world = self.params.round.start, self.params.round.world
        if path == ZERO:
            return zeros(space)
        agent = Agent.load(Path(path))
        if not same_world(agent, self.agent):
            raise UserError(
                f"{path}: has another V or M than the world {world!r}, on which its C would be "
                "lost: start with an agent of that world"
            )
        for given in ("inputs", "latent"):
            theirs, ours = getattr(agent.config, given), getattr(self.agent.config, given)
            if theirs != ours:
                raise UserError(
                    f"{path}: its C was trained with controller.{given} of {theirs!r}, "
                    f"params.yaml has {ours!r}: change one of them"
                )
        if agent.hidden_units != space.hidden_units:
            raise UserError(
                f"{path}: its C has {agent.hidden_units} hidden units, params.yaml has "
                f"controller.hidden_units of {space.hidden_units}: change one of them"
            )
        try:
            return space.fold(agent.parameters[0])
        except ValueError:
            raise UserError(
                f"{path}: its C uses more of h than {key} of params.yaml allows: raise it"
            ) from None

    def candidates(self, space: SearchSpace) -> Candidates:
        """The means to drive points of `space`, under the limits of training."""
        params = self.params
        device = params.machine.device
        return Candidates(self.agent, space, params.limits(), params.training_seed(), device)


def refuse_excess(components: int, hidden_size: int, key: str) -> None:
    """Raise UserError for more components of h, set by `key` of params.yaml, than it has."""
    if components > hidden_size:
        raise UserError(
            f"params.yaml: {key} is {components}, but M has a hidden state of {hidden_size}: "
            "lower it"
        )


def same_world(one: Agent, other: Agent) -> bool:
    """True if both agents see by the same V and remember by the same M."""

    def tensors(agent: Agent) -> dict[str, torch.Tensor]:
        return {**agent.encoder.state_dict(), **agent.memory.tensors()}

    mine, others = tensors(one), tensors(other)
    return mine.keys() == others.keys() and all(
        torch.equal(mine[name], others[name]) for name in mine
    )
