"""A lesson: all that an iteration gives to what trains C, whichever trainer that is."""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Protocol

import numpy as np
from pydantic import Field
from torch import Tensor

from worldmodels.dream.environment import Dream, Rules
from worldmodels.dream.model import DreamModel
from worldmodels.dream.moments import Along, Weights, draw_moments
from worldmodels.dream.values import paid_along
from worldmodels.memory.step import MemoryStep
from worldmodels.pipeline.params import Count, Natural, NonNegative, Positive, Section, Share
from worldmodels.training.schedule import FromTo, Shares, discount_at, geometric


class StartsConfig(Section):
    """The section `dream.practice.starts`: the moments that dreams begin with; see
    `moments.Weights`."""

    explored: Share
    near_loss: Share
    reach: Count
    margin: Natural
    newest_frames: Count
    explored_drives: Count

    def weights(self) -> Weights:
        """The part that draws moments."""
        return Weights(self.explored, self.near_loss, self.reach, self.margin)


class RulesConfig(Section):
    """The section `dream.practice.rules`: of the dreams of a lesson.

    `lost_cost` rises from its first value to its second by the middle of the first lesson, stays
    there in the next one, and rises to its third by the lesson `costs_by`, as `off_road_cost` goes
    from its first value to its second. 1 - `discount` falls to that of its second value by the end
    of the first lesson, and stays there.
    """

    temperature: Positive
    sampled: bool
    sight_noise: NonNegative
    horizon: Count
    lost_at: Share
    lost_cost: Annotated[list[Positive], Field(min_length=3, max_length=3)]
    costs_by: Count
    off_road_cost: FromTo
    speed_limit: Positive
    speed_cost: NonNegative
    discount: Shares


@dataclass(frozen=True)
class Lesson:
    """`model` dreams, from moments of `along` drawn by `weights`; C listens to `memory`.

    `number` counts the lessons from 0, when C has learnt nothing yet. A car counts as lost
    `lost_delay` steps after its last tile; `errors` [E, Z] are those of M on the record. No result
    depends on `threads`.
    """

    model: DreamModel
    memory: MemoryStep
    along: Along
    errors: Tensor
    config: RulesConfig
    weights: Weights
    number: int
    lost_delay: int
    rng: np.random.Generator
    threads: int

    @property
    def first(self) -> bool:
        """True for the first lesson."""
        return self.number == 0

    def rules(self, share: float) -> Rules:
        """The rules of the dream at `share`, 0 to 1, of the lesson."""
        config = self.config
        start, middle, end = config.lost_cost
        later = min(max(self.number - 1, 0) / max(config.costs_by - 1, 1), 1.0)
        if self.first:
            lost_cost = geometric([start, middle], min(2 * share, 1.0))
        else:
            lost_cost = geometric([middle, end], later)
        return Rules(
            temperature=config.temperature,
            sampled=config.sampled,
            sight_noise=config.sight_noise,
            horizon=config.horizon,
            lost_cost=lost_cost,
            lost_at=config.lost_at,
            off_road_cost=geometric(config.off_road_cost, later),
            speed_limit=config.speed_limit,
            speed_cost=config.speed_cost,
        )

    def discount(self, share: float) -> float:
        """The discount per step at `share` of the lesson."""
        return discount_at(self.config.discount, share if self.first else 1.0)

    @cached_property
    def rewards(self) -> np.ndarray:
        """The recorded rewards [n] of all moments, as the dream pays them."""
        return paid_along(self.along, self.rules(1.0))

    def dream(self, num_envs: int, share: float, moments: int | None = None) -> Dream:
        """Dreams from `moments` moments drawn at random; None: as many as there are dreams."""
        count = num_envs if moments is None else moments
        rows = draw_moments(self.along, count, self.weights, self.lost_delay, self.rng)
        start = self.along.moments.rows(rows)
        rules = self.rules(share)
        return Dream(self.model, self.memory, start, rules, num_envs, self.threads, self.errors)


class DreamTrainer(Protocol):
    """What trains C in dreams: PPO, or an evolution strategy."""

    def learn(self, lesson: Lesson) -> dict[str, float]:
        """Train C in the dreams of a lesson; returns what the curve shows of it: `dreamt_reward`
        (points per step), `exploration_std` and what is the trainer's own."""

    def point(self) -> np.ndarray:
        """C as a point [D] of its space, as it is kept."""
