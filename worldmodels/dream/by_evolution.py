"""C by an evolution strategy in the dream: the paper's way, in the paper's place.

All candidates dream on from the same moments, so that their fitness differs by what they do. It is
what a dream pays, and what its last moment is worth to a critic: a bend that is taken too fast
costs later than a dream is long. The critic learns from recorded rewards alone.
"""

from collections import deque
from dataclasses import dataclass, field

import numpy as np
import torch

from worldmodels.control.search_space import SearchSpace
from worldmodels.dream.lesson import Lesson
from worldmodels.dream.scaling import Scaling
from worldmodels.dream.values import values_along
from worldmodels.environment.actions import squash
from worldmodels.environment.interface import ACTION_SIZE
from worldmodels.evolution.strategies import EvolutionStrategy, SimpleESConfig, Strategy
from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.params import (
    Count,
    Population,
    Positive,
    Section,
    Share,
)
from worldmodels.training.critic import Critic
from worldmodels.training.schedule import OutputCosts


class DreamEvolutionConfig(Section):
    """The section `dream.evolution` of params.yaml."""

    strategy: Strategy
    hidden_components: Count
    population: Population
    sigma: Positive
    simple_es: SimpleESConfig
    dreams: Count
    first_generations: Count
    generations: Count
    averaged_lessons: Count
    output_cost: OutputCosts
    return_lambda: Share
    critic_steps: Count
    critic_batch_size: Count
    critic_learning_rate: Positive
    critic_units: Count
    value_scale: Positive


@dataclass
class Valuer:
    """A critic, and the Adam that trains it; values are in points."""

    critic: Critic
    config: DreamEvolutionConfig

    def __post_init__(self) -> None:
        rate = self.config.critic_learning_rate
        self.optimiser = torch.optim.Adam(self.critic.parameters(), lr=rate)

    @torch.no_grad()
    def values(self, inputs: np.ndarray) -> np.ndarray:
        """The values [n], float64, of inputs float32 [n, L]."""
        value = self.critic(torch.from_numpy(inputs))
        return self.config.value_scale * value.double().numpy()

    def learn(self, inputs: np.ndarray, targets: np.ndarray, rng: np.random.Generator) -> float:
        """One epoch's worth of steps towards `targets` [n], in points; returns the share of their
        variance that is explained. Raises UserError if the loss is not finite."""
        in_units = torch.from_numpy((targets / self.config.value_scale).astype(np.float32))
        given = torch.from_numpy(inputs)
        for _ in range(self.config.critic_steps):
            rows = torch.from_numpy(rng.integers(len(targets), size=self.config.critic_batch_size))
            error = (self.critic(given[rows]) - in_units[rows]).square().mean()
            if not torch.isfinite(error):
                raise UserError(
                    "the loss of the critic is not finite: lower "
                    "dream.evolution.critic_learning_rate in params.yaml"
                )
            self.optimiser.zero_grad()
            error.backward()
            self.optimiser.step()
        left = targets - self.values(inputs)
        return float(1 - left.var() / max(targets.var(), 1e-12))


@dataclass
class DreamEvolution:
    """Searches C by an evolution strategy in dreams.

    C is the mean of the distribution's means after the last lessons: what a mean has found that is
    true of its M alone, the mean of means forgets.
    """

    config: DreamEvolutionConfig
    space: SearchSpace
    critic_space: SearchSpace
    strategy: EvolutionStrategy
    valuer: Valuer
    results: deque[np.ndarray] = field(init=False)

    def __post_init__(self) -> None:
        self.results = deque(maxlen=self.config.averaged_lessons)

    def learn(self, lesson: Lesson) -> dict[str, float]:
        """Some generations in the dreams of a `lesson`; returns what the curve shows of them."""
        config = self.config
        generations = config.first_generations if lesson.first else config.generations
        rewards: list[float] = []
        for generation in range(generations):
            share = generation / max(generations - 1, 1)
            explained = self._learn_values(lesson, share)
            population = self.strategy.ask()
            fitness, reward = self.fitness(population, lesson, share)
            rewards.append(reward)
            self.strategy.tell(population, fitness)
        self.results.append(self.strategy.mean)
        return {
            "dreamt_reward": float(np.mean(rewards[-generations // 2 :])),
            "explained": explained,
            "exploration_std": self.strategy.sigma,
        }

    def point(self) -> np.ndarray:
        """C as a point of the space."""
        return np.mean(self.results or [self.strategy.mean], axis=0)

    def fitness(
        self, population: np.ndarray, lesson: Lesson, share: float
    ) -> tuple[np.ndarray, float]:
        """The fitness [P] of a population [P, D], and its mean reward per step."""
        config, count = self.config, len(population)
        dream = lesson.dream(count * config.dreams, share, moments=config.dreams)
        scale, discount = Scaling.of(self.space), lesson.discount(share)
        weights, bias = self._layers(population)
        # The same moments and the same noise for all candidates
        rows = np.tile(np.arange(config.dreams), count)
        seeds = np.tile(lesson.rng.integers(1 << 62, size=config.dreams), count)
        observations, infos = dream.reset(options={"moments": rows, "seeds": seeds})
        returns, paid, spent = np.zeros(len(rows)), 0.0, np.zeros(len(rows))
        alive = np.ones(len(rows), dtype=bool)
        for step in range(dream.rules.horizon):
            features = torch.from_numpy(scale(observations)).view(count, config.dreams, -1)
            raw = torch.baddbmm(bias, features, weights).view(len(rows), ACTION_SIZE).numpy()
            spent += np.square(raw) @ np.array(config.output_cost)
            observations, reward, terminated, _, infos = dream.step(squash(raw))
            returns += discount**step * reward * alive
            paid += float((reward * alive).mean())
            alive &= ~terminated
        told = self._told(observations, infos["hidden"])
        returns += discount**dream.rules.horizon * self.valuer.values(told) * alive
        returns -= spent / dream.rules.horizon
        return returns.reshape(count, -1).mean(axis=1), paid / dream.rules.horizon

    def _layers(self, population: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """The weights [P, K, A] and bias [P, 1, A] of linear controllers [P, D]."""
        cut = ACTION_SIZE * len(self.space.basis)
        weights = population[:, :cut].reshape(len(population), ACTION_SIZE, -1)
        transposed = np.ascontiguousarray(weights.transpose(0, 2, 1)).astype(np.float32)
        bias = population[:, None, cut:].astype(np.float32)
        return torch.from_numpy(transposed), torch.from_numpy(bias)

    def _told(self, observations: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        """What the critic is given: all features scaled, and the state of the M that dreams."""
        return np.concatenate([Scaling.of(self.critic_space)(observations), hidden], axis=1)

    def _learn_values(self, lesson: Lesson, share: float) -> float:
        """Let the critic learn from the record; returns how much it explains."""
        moments = lesson.along.moments
        features = torch.cat([moments.mu, moments.memory], dim=1).numpy()
        inputs = self._told(features, moments.hidden.numpy())
        targets = values_along(
            lesson.along,
            lesson.rewards,
            self.valuer.values(inputs),
            lesson.discount(share),
            self.config.return_lambda,
            lesson.rules(share).lost_cost,
            lesson.lost_delay,
        )
        return self.valuer.learn(inputs, targets, lesson.rng)


def refuse_deep(space: SearchSpace) -> None:
    """Raise UserError for a C with a hidden layer, which dreams have no batched form of."""
    if space.hidden_units:
        raise UserError(
            "params.yaml: an evolution strategy in the dream trains a linear C: set "
            "controller.inputs to z or z+h"
        )
