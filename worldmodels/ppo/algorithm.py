"""Proximal policy optimisation (PPO) of a deterministic controller (Schulman et al. 2017).

A departure from the paper, which searches C with an evolution strategy alone: an episode's return
says little about 867 numbers, each of its thousand actions says something. C stays linear and
deterministic; the critic and the noise serve its training alone and are discarded.

Knows no environment: it learns from `Rollout`s, whatever collected them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.params import Count, Positive, Section, Share
from worldmodels.ppo.critic import Critic
from worldmodels.training.schedule import FromTo, OutputCosts, geometric

# How a decision ends. TRUNCATED: more would follow, but it is not in the rollout.
GOES_ON, TERMINATED, TRUNCATED = range(3)


class AlgorithmConfig(Section):
    """The params of the algorithm; learning rates go from their first value to their second.

    `output_cost` is what the square of each of C's outputs, before the action map, costs the gain.
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


class Rollout(NamedTuple):
    """The experience of D decisions in each of N environments, made with Gaussian noise.

    `features` [D, N, K] of the actor, `raw` [D, N, A], its outputs with the noise, and
    `critic_inputs` [D, N, L]; `reward` [D, N] in points; `end` [D, N]: GOES_ON, TERMINATED or
    TRUNCATED; `counts` bool [D, N]: False where a decision teaches nothing. `returns` [E] are
    those of the E episodes that ended, driven with noise. `value_after` [N]: what follows the last
    decision, in points, where that is known.
    """

    features: np.ndarray
    raw: np.ndarray
    critic_inputs: np.ndarray
    reward: np.ndarray
    end: np.ndarray
    counts: np.ndarray
    returns: np.ndarray
    value_after: np.ndarray | None = None


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


class Actor(nn.Module):
    """C in its search space, linear or with a hidden layer; its outputs are 0 before training."""

    def __init__(self, inputs: int, hidden_units: int, outputs: int):
        super().__init__()
        hidden = [nn.Linear(inputs, hidden_units), nn.Tanh()] if hidden_units else []
        last = nn.Linear(hidden_units or inputs, outputs)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(*hidden, last)

    def forward(self, features: Tensor) -> Tensor:
        """The mean [..., A] of C's outputs before the action map, for features [..., K]."""
        return self.layers(features)

    def point(self) -> np.ndarray:
        """C as a point [D] of its search space: each layer's weights, then its bias."""
        parts = [parameter.detach().flatten() for parameter in self.parameters()]
        return torch.cat(parts).double().numpy()

    def set_point(self, point: np.ndarray) -> None:
        """Make C the `point` [D]."""
        nn.utils.vector_to_parameters(
            torch.from_numpy(point.astype(np.float32)), self.parameters()
        )


def advantages(
    reward: np.ndarray,
    value: np.ndarray,
    end: np.ndarray,
    discount: float,
    gae_lambda: float,
    value_after: np.ndarray | None = None,
) -> np.ndarray:
    """Generalised advantage estimates (Schulman et al. 2016, eq. 16) of decisions, all [D, N].

    `value` is the critic's, in points. Nothing follows a decision that is TERMINATED; what would
    follow one that is TRUNCATED is taken to be worth the value before it, since the state after it
    is unknown (bootstrapping at time limits: Pardo et al. 2018). Only of the last decisions it may
    be known: `value_after` [N].
    """
    next_value = np.where(end == TRUNCATED, value, np.concatenate([value[1:], value[-1:]]))
    if value_after is not None:
        next_value[-1] = value_after
    delta = reward + discount * next_value * (end != TERMINATED) - value  # eq. 9
    out, running = np.zeros_like(value), np.zeros(value.shape[1])
    for step in reversed(range(len(value))):
        running = delta[step] + discount * gae_lambda * running * (end[step] == GOES_ON)
        out[step] = running
    return out


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

    @torch.no_grad()
    def values(self, critic_inputs: np.ndarray) -> np.ndarray:
        """The critic's values [...] in points, float64, of `critic_inputs` float32 [..., L]."""
        value = self.critic(torch.from_numpy(critic_inputs))
        return self.config.value_scale * value.double().numpy()

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
