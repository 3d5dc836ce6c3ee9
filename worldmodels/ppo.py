"""Proximal policy optimisation of the linear C (Schulman et al. 2017).

A departure from the paper, which searches C with an evolution strategy alone: an episode's return
says little about 867 numbers, its thousand actions say much. C stays what it is; the critic, and
the noise, serve while it learns and are thrown away.
"""

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from worldmodels.controller import ACTIONS
from worldmodels.errors import UserError
from worldmodels.params import Count, Positive, Section, Share
from worldmodels.practice import CUT, GOES_ON, Experience

POINTS = 50.0  # of value to a unit of the critic's output

FromTo = Annotated[list[Positive], Field(min_length=2, max_length=2)]


class LearningConfig(Section):
    """The learning rates go from their first value towards their second."""

    gae_lambda: Share
    clip: Positive
    epochs: Count
    batch_size: Count
    learning_rate: FromTo
    critic_learning_rate: FromTo
    critic_units: Count


def along(ends: list[float], share: float) -> float:
    """The value when `share` of the way is gone, along a geometric series."""
    return float(ends[0] ** (1 - share) * ends[1] ** share)


class Critic(nn.Module):
    """What is still to come for a car, from where it is seen to be."""

    def __init__(self, inputs: int, units: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(inputs, units),
            nn.Tanh(),
            nn.Linear(units, units),
            nn.Tanh(),
            nn.Linear(units, 1),
        )

    def forward(self, seen: Tensor) -> Tensor:
        """Values [...], in units of POINTS, for `seen` [..., L]."""
        return self.layers(seen)[..., 0]


def advantages(
    reward: np.ndarray, value: np.ndarray, end: np.ndarray, discount: float, gae_lambda: float
) -> np.ndarray:
    """By how much each decision did better than its value (Schulman et al. 2016), all [D, N].

    A car that is LOST has nothing more to come; where its drive is CUT from view, what comes is
    not known, and the last decision counts as no better or worse than expected.
    """
    following = np.concatenate([value[1:], value[-1:]])
    better = reward + discount * following * (end == GOES_ON) - value
    better[end == CUT] = 0
    out, running = np.zeros_like(value), np.zeros(value.shape[1])
    for step in reversed(range(len(value))):
        running = better[step] + discount * gae_lambda * running * (end[step] == GOES_ON)
        out[step] = running
    return out


class Lesson(NamedTuple):
    """The decisions that count in an update, [n, ...]; see `Experience`."""

    features: Tensor
    raw: Tensor
    seen: Tensor
    advantage: Tensor
    target: Tensor


class Learner:
    """The actor, linear in its features, the critic, and how far Adam is with both."""

    def __init__(self, actor_inputs: int, critic_inputs: int, config: LearningConfig, seed: int):
        torch.manual_seed(seed)
        self.config, self.rng = config, np.random.default_rng(seed)
        self.weights = torch.zeros(ACTIONS, actor_inputs, requires_grad=True)
        self.bias = torch.zeros(ACTIONS, requires_grad=True)
        self.critic = Critic(critic_inputs, config.critic_units)
        self.optimisers = (
            torch.optim.Adam([self.weights, self.bias]),
            torch.optim.Adam(self.critic.parameters()),
        )

    @property
    def point(self) -> np.ndarray:
        """The actor as a point [D] of its search space: weights, then bias."""
        parts = self.weights.detach().flatten(), self.bias.detach()
        return torch.cat(parts).double().numpy()

    def update(
        self, experiences: Sequence[Experience], noise: float, discount: float, share: float
    ) -> float:
        """Learn from what was driven with `noise`; returns the share of the variance of what came
        that the critic had foreseen. `discount` is that of a decision, `share` how much of the
        way is gone. Raises UserError if a loss or a weight is no number.
        """
        lesson, foreseen = self._prepare(experiences, discount)
        with torch.no_grad():
            before = self._log_density(lesson, noise)
        rates = self.config.learning_rate, self.config.critic_learning_rate
        for optimiser, rate in zip(self.optimisers, rates):
            optimiser.param_groups[0]["lr"] = along(rate, share)
        for _ in range(self.config.epochs):
            order = torch.from_numpy(self.rng.permutation(len(lesson.target)))
            for rows in order.split(self.config.batch_size):
                self._step(Lesson(*(part[rows] for part in lesson)), before[rows], noise)
        if not all(torch.isfinite(weight).all() for weight in self._weights()):
            raise _diverged()
        return foreseen

    def _weights(self) -> list[Tensor]:
        return [self.weights, self.bias, *self.critic.parameters()]

    def _prepare(self, experiences: Sequence[Experience], discount: float) -> tuple[Lesson, float]:
        """What counts of the experiences, with advantages of unit variance."""
        parts = []
        for experience in experiences:
            with torch.no_grad():
                value = POINTS * self.critic(torch.from_numpy(experience.seen)).double().numpy()
            advantage = advantages(
                experience.reward, value, experience.end, discount, self.config.gae_lambda
            )
            driven = experience.features, experience.raw, experience.seen
            arrays = *driven, advantage, value + advantage
            parts.append([array[experience.counts] for array in arrays])
        features, raw, seen, advantage, target = (np.concatenate(part) for part in zip(*parts))
        foreseen = 1 - advantage.var() / max(target.var(), 1e-12)
        advantage = (advantage - advantage.mean()) / max(advantage.std(), 1e-12)
        columns = features, raw, seen, advantage, target / POINTS
        lesson = Lesson(*(torch.from_numpy(column.astype(np.float32)) for column in columns))
        return lesson, float(foreseen)

    def _log_density(self, lesson: Lesson, noise: float) -> Tensor:
        """Log density [n] of the raw actions under the actor as it is, but for a constant."""
        mean = lesson.features @ self.weights.T + self.bias
        return -0.5 * ((lesson.raw - mean) / noise).square().sum(dim=1)

    def _step(self, lesson: Lesson, before: Tensor, noise: float) -> None:
        """One step of the actor and one of the critic."""
        ratio = (self._log_density(lesson, noise) - before).exp()
        clipped = ratio.clamp(1 - self.config.clip, 1 + self.config.clip)
        gain = torch.min(ratio * lesson.advantage, clipped * lesson.advantage).mean()
        error = (self.critic(lesson.seen) - lesson.target).square().mean()
        if not torch.isfinite(gain + error):
            raise _diverged()
        for optimiser, loss in zip(self.optimisers, (-gain, error)):
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()


def _diverged() -> UserError:
    return UserError(
        "actor or critic has a loss or weights that are no number: lower ppo.learning_rate or "
        "ppo.critic_learning_rate in params.yaml"
    )
