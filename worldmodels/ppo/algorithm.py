"""Proximal policy optimisation (PPO) of a deterministic controller (Schulman et al. 2017).

A departure from the paper, which searches C with an evolution strategy alone: an episode's return
says little about 867 numbers, each of its thousand actions says something. C stays as small and
deterministic as the paper's; the critic and the noise serve its training alone and are discarded.

Knows no environment: it learns from `Rollout`s, whatever collected them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.params import Count, Positive, Section, Share
from worldmodels.ppo.actor import Actor
from worldmodels.ppo.critic import Critic
from worldmodels.ppo.rollout import Rollout, advantages
from worldmodels.training.schedule import FromTo, OutputCosts, geometric


class AlgorithmConfig(Section):
    """The params of the algorithm; learning rates go from their first value to their second.

    `output_cost`: weights of a penalty on the squares of C's outputs, before the action map.
    """

    gae_lambda: Share
    clip: Positive
    epochs: Count
    batch_size: Count
    learning_rate: FromTo
    critic_learning_rate: FromTo
    critic_units: Count
    value_scale: Positive
    output_cost: OutputCosts


class Batch(NamedTuple):
    """The n decisions that count in an update, float32 [n, ...] or [n].

    `advantage` has mean 0 and variance 1; `target` is what the critic should give, in units of
    `value_scale` points; `log_density` is that of `raw` under the actor that made the decisions.
    """

    features: Tensor
    raw: Tensor
    critic_inputs: Tensor
    advantage: Tensor
    target: Tensor
    log_density: Tensor

    def rows(self, rows: Tensor) -> "Batch":
        """Some of the decisions."""
        return Batch(*(column[rows] for column in self))

    def to(self, device: str) -> "Batch":
        """The same on another device."""
        return Batch(*(column.to(device) for column in self))


class Learner:
    """The actor, the critic, and the state of the two Adam optimisers that train them."""

    def __init__(
        self,
        actor: Actor,
        critic: Critic,
        config: AlgorithmConfig,
        seed: int,
    ):
        self.actor, self.critic, self.config = actor, critic, config
        self.rng = np.random.default_rng(seed)
        self.optimisers = tuple(torch.optim.Adam(part.parameters()) for part in (actor, critic))

    @classmethod
    def new(
        cls,
        actor_sizes: tuple[int, int, int],
        critic_inputs: int,
        config: AlgorithmConfig,
        seed: int,
    ) -> "Learner":
        """A learner at its start; `actor_sizes`: inputs, hidden units (0: linear), outputs."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            critic = Critic(critic_inputs, config.critic_units)
            actor = Actor(*actor_sizes)
        return cls(actor, critic, config, seed)

    @contextmanager
    def on(self, device: str) -> Iterator[None]:
        """Actor and critic are on `device` as long as the context lasts; at all other times they
        are on the CPU, where C drives."""
        self._move(device)
        try:
            yield
        finally:
            self._move("cpu")

    def _move(self, device: str) -> None:
        self.actor.to(device)
        self.critic.to(device)
        for optimiser in self.optimisers:
            for state in optimiser.state.values():
                for name, value in state.items():
                    if value.dim():  # the count of steps stays on the CPU
                        state[name] = value.to(device)

    def set_learning_rates(self, share: float) -> None:
        """Set Adam's learning rates to their values at `share` of the training."""
        rates = self.config.learning_rate, self.config.critic_learning_rate
        for optimiser, rate in zip(self.optimisers, rates):
            optimiser.param_groups[0]["lr"] = geometric(rate, share)

    def judge(
        self, rollouts: Sequence[Rollout], noise: float, discount: float
    ) -> tuple[Batch, float]:
        """The decisions that count, with their advantages, and how much of the variance of the
        critic's targets its values explain, 1 at best.

        The decisions were made with `noise`; `discount` is per decision.
        """
        parts, scale = [], self.config.value_scale
        for rollout in rollouts:
            value = self.values(rollout.critic_inputs)
            advantage = advantages(
                rollout.reward,
                value,
                rollout.end,
                discount,
                self.config.gae_lambda,
                rollout.value_after,
            )
            driven = rollout.features, rollout.raw, rollout.critic_inputs
            arrays = *driven, advantage, value + advantage
            parts.append([array[rollout.counts] for array in arrays])
        features, raw, inputs, advantage, target = (np.concatenate(part) for part in zip(*parts))
        explained = 1 - advantage.var() / max(target.var(), 1e-12)
        advantage = (advantage - advantage.mean()) / max(advantage.std(), 1e-12)
        columns = {
            "features": features,
            "raw": raw,
            "critic_inputs": inputs,
            "advantage": advantage,
            "target": target / scale,
        }
        tensors = {name: torch.from_numpy(c.astype(np.float32)) for name, c in columns.items()}
        with torch.no_grad():
            log_density = self._log_density(tensors["features"], tensors["raw"], noise)
        return Batch(log_density=log_density, **tensors), float(explained)

    def values(self, critic_inputs: np.ndarray) -> np.ndarray:
        """The critic's values [...] in points, float64, of `critic_inputs` float32 [..., L]."""
        return self.critic.values(critic_inputs, self.config.value_scale)

    def update(self, batch: Batch, noise: float, device: str) -> None:
        """Improve by some epochs over the same decisions, which were made with `noise`; clipping
        keeps the actor near the one that made them (Schulman et al. 2017, algorithm 1).

        Raises UserError if a loss or a weight is not finite.
        """
        with self.on(device):
            batch = batch.to(device)
            for _ in range(self.config.epochs):
                for minibatch in self.minibatches(batch):
                    self.improve(minibatch, noise)
        self.refuse_nonfinite(self.weights())

    def minibatches(self, batch: Batch) -> Iterator[Batch]:
        """One epoch: all decisions in a new order, `batch_size` at a time."""
        order = torch.from_numpy(self.rng.permutation(len(batch.target)))
        for rows in order.to(batch.target.device).split(self.config.batch_size):
            yield batch.rows(rows)

    def improve(self, batch: Batch, noise: float) -> None:
        """One step of the actor up the clipped gain, one of the critic down its squared error.

        Raises UserError if either is not finite.
        """
        ratio = (self._log_density(batch.features, batch.raw, noise) - batch.log_density).exp()
        clipped = ratio.clamp(1 - self.config.clip, 1 + self.config.clip)
        gain = torch.min(ratio * batch.advantage, clipped * batch.advantage).mean()  # eq. 7
        if any(self.config.output_cost):
            costs = gain.new_tensor(self.config.output_cost)
            gain = gain - (costs * self.actor(batch.features).square()).sum(dim=1).mean()
        error = (self.critic(batch.critic_inputs) - batch.target).square().mean()
        self.refuse_nonfinite([gain + error])
        for optimiser, loss in zip(self.optimisers, (-gain, error)):
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    def weights(self) -> list[Tensor]:
        """The weights of actor and critic."""
        return [*self.actor.parameters(), *self.critic.parameters()]

    def refuse_nonfinite(self, values: Sequence[Tensor]) -> None:
        """Raise UserError if a loss or a weight is not finite."""
        if not all(torch.isfinite(value).all() for value in values):
            raise UserError(
                "a loss or a weight of actor or critic is not finite: lower learning_rate or "
                "critic_learning_rate of ppo in params.yaml"
            )

    def _log_density(self, features: Tensor, raw: Tensor, noise: float) -> Tensor:
        """Log density [n], up to a constant, of noisy outputs under the present actor."""
        mean = self.actor(features)
        return -0.5 * ((raw - mean) / noise).square().sum(dim=1)
