"""The critic that learns from the record: what the last moment of a dream is worth.

The cost of a bend taken too fast comes after a dream has ended, and M dreams of no bend that it
has not seen. So what follows a dream is judged by what followed recorded moments, on the real
track, where C alone decided. A critic that learns from the explorer's steps too takes every quick
turn of the wheel for the explorer's, and expects the losses that would follow.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from worldmodels.control.search_space import SearchSpace
from worldmodels.dream.lesson import Lesson
from worldmodels.dream.scaling import Scaling
from worldmodels.dream.values import values_along
from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.params import Count, Positive, Section, Share
from worldmodels.ppo.critic import Critic
from worldmodels.training.schedule import FromTo, geometric


class RecordCriticConfig(Section):
    """The section `dream.ppo.record_critic` of params.yaml; the rate goes from its first value to
    its second in every lesson."""

    return_lambda: Share
    steps: Count
    batch_size: Count
    learning_rate: FromTo
    units: Count
    value_scale: Positive


@dataclass
class RecordCritic:
    """A critic, and the Adam that trains it. It is given all features, scaled by `space`, and the
    state, of `state_size`, of the M that dreams."""

    space: SearchSpace
    state_size: int
    critic: Critic
    config: RecordCriticConfig

    def __post_init__(self) -> None:
        self.optimiser = torch.optim.Adam(self.critic.parameters())

    @classmethod
    def new(
        cls, space: SearchSpace, state_size: int, config: RecordCriticConfig, seed: int
    ) -> "RecordCritic":
        """A critic at its start, for an M with a state of `state_size`."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            critic = Critic(len(space.basis) + state_size, config.units)
        return cls(space, state_size, critic, config)

    @property
    def input_size(self) -> int:
        """The size L of what it is given."""
        return len(self.space.basis) + self.state_size

    def inputs(self, observations: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        """What it is given [n, L] of observations [n, Z + H] and states [n, H'] of a dream."""
        return np.concatenate([Scaling.of(self.space)(observations), hidden], axis=1)

    def recorded_inputs(self, lesson: Lesson) -> np.ndarray:
        """What it is given [n, L] of all moments of a lesson."""
        moments = lesson.along.moments
        observations = torch.cat([moments.mu, moments.memory], dim=1).numpy()
        return self.inputs(observations, moments.hidden.numpy())

    def values(self, inputs: np.ndarray) -> np.ndarray:
        """The values [n] in points, float64, of inputs float32 [n, L]."""
        return self.critic.values(inputs, self.config.value_scale)

    def learn(self, lesson: Lesson, inputs: np.ndarray, share: float) -> float:
        """Some steps towards what the moments at which C decided were worth; `inputs` [n, L] are
        of all moments of a lesson. Returns the share of the variance of that worth that was
        explained before.

        Recorded steps pay by the rules at the end of the lesson; a loss costs what it does at
        `share` of it.
        Raises UserError if the loss is not finite.
        """
        config, values = self.config, self.values(inputs)
        targets = values_along(
            lesson.along,
            lesson.rewards,
            values,
            lesson.config.discount,
            config.return_lambda,
            lesson.rules(share).lost_cost,
            lesson.lost_delay,
        )
        self.optimiser.param_groups[0]["lr"] = geometric(config.learning_rate, share)
        by_c = np.flatnonzero(lesson.along.by_c)
        given = torch.from_numpy(inputs)
        in_units = torch.from_numpy((targets / config.value_scale).astype(np.float32))
        for _ in range(config.steps):
            rows = torch.from_numpy(lesson.rng.choice(by_c, config.batch_size))
            self._improve(given[rows], in_units[rows])
        missed, targets = (targets - values)[by_c], targets[by_c]
        return float(1 - missed.var() / max(targets.var(), 1e-12))

    def _improve(self, inputs: Tensor, targets: Tensor) -> None:
        error = (self.critic(inputs) - targets).square().mean()
        if not torch.isfinite(error):
            raise UserError(
                "the loss of the critic of the record is not finite: lower "
                "dream.ppo.record_critic.learning_rate in params.yaml"
            )
        self.optimiser.zero_grad()
        error.backward()
        self.optimiser.step()
