"""Proximal policy optimisation of C (Schulman et al. 2017).

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

from worldmodels.control.controller import ACTIONS
from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.params import Count, Positive, Section, Share
from worldmodels.ppo.practice import GOES_ON, TERMINATED, TRUNCATED, Rollout

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


class Actor(nn.Module):
    """C in its search space, linear or with a hidden layer; it says nothing before it learns."""

    def __init__(self, inputs: int, hidden_units: int):
        super().__init__()
        hidden = [nn.Linear(inputs, hidden_units), nn.Tanh()] if hidden_units else []
        last = nn.Linear(hidden_units or inputs, ACTIONS)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(*hidden, last)

    def forward(self, features: Tensor) -> Tensor:
        """The mean [..., 3] of C's outputs before the squashing, for features [..., K]."""
        return self.layers(features)

    def point(self) -> np.ndarray:
        """C as a point [D] of its search space: each layer's weights, then its bias."""
        parts = [parameter.detach().flatten() for parameter in self.parameters()]
        return torch.cat(parts).double().numpy()


class Critic(nn.Module):
    """The value of where a car is: what is still to come for it."""

    def __init__(self, inputs: int, units: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(inputs, units),
            nn.Tanh(),
            nn.Linear(units, units),
            nn.Tanh(),
            nn.Linear(units, 1),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Values [...], in units of POINTS, for `inputs` [..., L]."""
        return self.layers(inputs)[..., 0]


def advantages(
    reward: np.ndarray, value: np.ndarray, end: np.ndarray, discount: float, gae_lambda: float
) -> np.ndarray:
    """By how much each decision did better than its value (Schulman et al. 2016), all [D, N].

    Nothing more comes after a decision that is TERMINATED; what comes after one that is TRUNCATED
    is taken to be worth as much as what was to come before it (Pardo et al. 2018).
    """
    following = np.where(end == TRUNCATED, value, np.concatenate([value[1:], value[-1:]]))
    better = reward + discount * following * (end != TERMINATED) - value
    out, running = np.zeros_like(value), np.zeros(value.shape[1])
    for step in reversed(range(len(value))):
        running = better[step] + discount * gae_lambda * running * (end[step] == GOES_ON)
        out[step] = running
    return out


class Batch(NamedTuple):
    """The decisions that count in an update, [n, ...]; see `Rollout`."""

    features: Tensor
    raw: Tensor
    critic_inputs: Tensor
    advantage: Tensor
    target: Tensor


class Learner:
    """The actor, the critic, and how far Adam is with both."""

    def __init__(
        self,
        actor_inputs: int,
        hidden_units: int,
        critic_inputs: int,
        config: LearningConfig,
        seed: int,
    ):
        self.config, self.rng = config, np.random.default_rng(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.critic = Critic(critic_inputs, config.critic_units)
            self.actor = Actor(actor_inputs, hidden_units)
        parts = self.actor, self.critic
        self.optimisers = tuple(torch.optim.Adam(part.parameters()) for part in parts)

    def update(
        self, rollouts: Sequence[Rollout], noise: float, discount: float, share: float
    ) -> float:
        """Learn from what was driven with `noise`; returns the share of the variance of what came
        that the critic explained. `discount` is that of a decision, `share` how much of the
        way is gone. Raises UserError if a loss or a weight is no number.
        """
        batch, explained = self._prepare(rollouts, discount)
        with torch.no_grad():
            before = self._log_density(batch, noise)
        rates = self.config.learning_rate, self.config.critic_learning_rate
        for optimiser, rate in zip(self.optimisers, rates):
            optimiser.param_groups[0]["lr"] = along(rate, share)
        for _ in range(self.config.epochs):
            order = torch.from_numpy(self.rng.permutation(len(batch.target)))
            for rows in order.split(self.config.batch_size):
                self._step(Batch(*(part[rows] for part in batch)), before[rows], noise)
        if not all(torch.isfinite(weight).all() for weight in self._weights()):
            raise _diverged()
        return explained

    def _weights(self) -> list[Tensor]:
        return [*self.actor.parameters(), *self.critic.parameters()]

    def _prepare(self, rollouts: Sequence[Rollout], discount: float) -> tuple[Batch, float]:
        """What counts of the rollouts, with advantages of unit variance."""
        parts = []
        for rollout in rollouts:
            with torch.no_grad():
                value = self.critic(torch.from_numpy(rollout.critic_inputs))
            value = POINTS * value.double().numpy()
            advantage = advantages(
                rollout.reward, value, rollout.end, discount, self.config.gae_lambda
            )
            driven = rollout.features, rollout.raw, rollout.critic_inputs
            arrays = *driven, advantage, value + advantage
            parts.append([array[rollout.counts] for array in arrays])
        features, raw, inputs, advantage, target = (np.concatenate(part) for part in zip(*parts))
        explained = 1 - advantage.var() / max(target.var(), 1e-12)
        advantage = (advantage - advantage.mean()) / max(advantage.std(), 1e-12)
        columns = features, raw, inputs, advantage, target / POINTS
        batch = Batch(*(torch.from_numpy(column.astype(np.float32)) for column in columns))
        return batch, float(explained)

    def _log_density(self, batch: Batch, noise: float) -> Tensor:
        """Log density [n] of the raw actions under the actor as it is, but for a constant."""
        mean = self.actor(batch.features)
        return -0.5 * ((batch.raw - mean) / noise).square().sum(dim=1)

    def _step(self, batch: Batch, before: Tensor, noise: float) -> None:
        """One step of the actor and one of the critic."""
        ratio = (self._log_density(batch, noise) - before).exp()
        clipped = ratio.clamp(1 - self.config.clip, 1 + self.config.clip)
        gain = torch.min(ratio * batch.advantage, clipped * batch.advantage).mean()
        error = (self.critic(batch.critic_inputs) - batch.target).square().mean()
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
