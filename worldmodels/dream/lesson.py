"""A lesson: all that an iteration gives to what trains C, whichever method that is."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from worldmodels.dream.environment import Dream, Rules
from worldmodels.dream.model import DreamModel
from worldmodels.dream.moments import Along, Weights, draw_moments
from worldmodels.memory.step import MemoryStep


@dataclass(frozen=True)
class Lesson:
    """`model` dreams by `rules`, from moments of the record `along` drawn by `weights`; C listens
    to `memory`.

    `share`, 0 to 1, of the training is done; `discount` is per step; a car counts as lost
    `lost_delay` steps after its last tile. No result depends on `threads`.
    """

    model: DreamModel
    memory: MemoryStep
    along: Along
    rules: Rules
    weights: Weights
    share: float
    discount: float
    lost_delay: int
    rng: np.random.Generator
    threads: int

    def dream(self, num_envs: int, moments: int | None = None) -> Dream:
        """Dreams from `moments` moments drawn at random; None: as many as there are dreams."""
        count = num_envs if moments is None else moments
        rows = draw_moments(self.along, count, self.weights, self.lost_delay, self.rng)
        start = self.along.moments.rows(rows)
        return Dream(self.model, self.memory, start, self.rules, num_envs, self.threads)


class DreamMethod(Protocol):
    """A method of training C in dreams: PPO, or an evolution strategy."""

    def learn(self, lesson: Lesson) -> dict[str, float]:
        """Train C in the dreams of a lesson; returns what the curve shows of it, `dreamt_reward`
        (points per step) among it."""

    def point(self) -> np.ndarray:
        """C as a point [D] of its space, as it is kept."""

    def noise(self, share: float) -> float:
        """The std of the noise with which C is recorded at `share` of the training."""
