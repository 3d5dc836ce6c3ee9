"""C by an evolution strategy in the dream, as in the paper's VizDoom experiment.

All candidates dream on from the same moments, so that what their dreams pay differs by what they
do. A dream adds to a candidate's fitness by how much more it pays than the median candidate's from
the same moment; the difference is cut off, or a single loss would outweigh all else. These dreams
are long and have no critic's value at their end: a critic of the record values how the record goes
on, not how each candidate would.

Large outputs cost. The action map saturates, so nothing else keeps them from growing, and the
search would drift to a C that steers only hard left or hard right.
"""

from dataclasses import dataclass, field

import numpy as np
import torch

from worldmodels.control.search_space import SearchSpace
from worldmodels.dream.lesson import Lesson
from worldmodels.dream.scaling import Scaling
from worldmodels.dream.schedule import Averages, Schedule, ScheduleEntry, latest, mean_of_last
from worldmodels.environment.actions import squash
from worldmodels.environment.interface import ACTION_SIZE
from worldmodels.evolution.strategies import EvolutionStrategy, SimpleESConfig, Strategy
from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.params import Count, Population, Positive, Section
from worldmodels.runtime.cores import one_thread
from worldmodels.training.schedule import OutputCosts


class Cut(ScheduleEntry):
    """How much a dream counts at most, in points, from `lesson` on."""

    points: Positive


class DreamEvolutionConfig(Section):
    """The section `dream.evolution` of params.yaml.

    `cut` is the largest difference that a dream makes to a candidate's fitness, by lessons (see
    `latest`); `output_cost`: points per step and square of an output, before the action map.
    """

    strategy: Strategy
    hidden_components: Count
    population: Population
    sigma: Positive
    simple_es: SimpleESConfig
    dreams: Count
    horizon: Count
    first_generations: Count
    generations: Count
    averaged: Averages
    cut: Schedule[Cut]
    output_cost: OutputCosts


@dataclass
class DreamEvolution:
    """Searches C by an evolution strategy in dreams.

    C is the average of the distribution's means after the last lessons: averaging cancels what was
    found in one lesson and holds for its M alone.
    """

    config: DreamEvolutionConfig
    space: SearchSpace
    strategy: EvolutionStrategy
    results: list[np.ndarray] = field(default_factory=list)

    def learn(self, lesson: Lesson) -> dict[str, float]:
        """Some generations in the dreams of a `lesson`; returns what the curve shows of them."""
        config = self.config
        generations = config.first_generations if lesson.first else config.generations
        rewards: list[float] = []
        for generation in range(generations):
            share = generation / max(generations - 1, 1)
            population = self.strategy.ask()
            fitness, reward = self.fitness(population, lesson, share)
            rewards.append(reward)
            self.strategy.tell(population, fitness)
        self.results.append(self.strategy.mean)
        return {
            "dreamt_reward": float(np.mean(rewards[-generations // 2 :])),
            "exploration_std": self.strategy.sigma,
        }

    def point(self) -> np.ndarray:
        """C as a point of the space."""
        return mean_of_last(self.results, self.config.averaged, self.strategy.mean)

    @one_thread()  # torch's threads would compete with the dream's own for the cores
    def fitness(
        self, population: np.ndarray, lesson: Lesson, share: float
    ) -> tuple[np.ndarray, float]:
        """The fitness [P] of a population [P, D], in points, and its mean reward per step."""
        config, count = self.config, len(population)
        dream = lesson.dream(count * config.dreams, config.horizon, share, config.dreams)
        scale, discount = Scaling.of(self.space), lesson.config.discount
        weights, bias = self._layers(population)
        costs = np.array(config.output_cost, np.float32)
        # The same moments and the same noise for all candidates
        rows = np.tile(np.arange(config.dreams), count)
        seeds = np.tile(lesson.rng.integers(1 << 62, size=config.dreams), count)
        observations, _ = dream.reset(options={"moments": rows, "seeds": seeds})
        returns, paid = np.zeros(len(rows)), 0.0
        alive = np.ones(len(rows), dtype=bool)
        for step in range(config.horizon):
            features = torch.from_numpy(scale(observations)).view(count, config.dreams, -1)
            raw = torch.baddbmm(bias, features, weights).view(len(rows), ACTION_SIZE).numpy()
            observations, reward, terminated, _, _ = dream.step(squash(raw))
            returns += discount**step * (reward - raw**2 @ costs) * alive
            paid += float((reward * alive).mean())
            alive &= ~terminated
        cut = latest(config.cut, lesson.number).points
        return advantages(returns.reshape(count, -1), cut).mean(axis=1), paid / config.horizon

    def _layers(self, population: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """The weights [P, K, A] and bias [P, 1, A] of linear controllers [P, D]."""
        cut = ACTION_SIZE * len(self.space.basis)
        weights = population[:, :cut].reshape(len(population), ACTION_SIZE, -1)
        transposed = np.ascontiguousarray(weights.transpose(0, 2, 1)).astype(np.float32)
        bias = population[:, None, cut:].astype(np.float32)
        return torch.from_numpy(transposed), torch.from_numpy(bias)


def advantages(returns: np.ndarray, cut: float) -> np.ndarray:
    """How much better than the median candidate each of P was in each of N dreams, of `returns`
    [P, N]: at most `cut`, and at least -`cut`."""
    return np.clip(returns - np.median(returns, axis=0), -cut, cut)


def refuse_deep(space: SearchSpace) -> None:
    """Raise UserError for a C with a hidden layer, which dreams have no batched form of."""
    if space.hidden_units:
        raise UserError(
            "params.yaml: an evolution strategy in the dream trains a linear C: set "
            "controller.inputs to z or z+h"
        )
