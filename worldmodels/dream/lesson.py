"""A lesson: all that an iteration gives to what trains C, whichever trainer that is."""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from torch import Tensor

from worldmodels.dream.environment import Dream
from worldmodels.dream.model import DreamModel
from worldmodels.dream.moments import Along
from worldmodels.dream.on_device import DreamOnDevice
from worldmodels.dream.rules import Rules
from worldmodels.dream.schedule import Schedule, ScheduleEntry, scheduled
from worldmodels.dream.starts import Starts
from worldmodels.dream.values import paid_along
from worldmodels.memory.step import MemoryStep
from worldmodels.pipeline.params import NonNegative, Positive, Section, Share


class Strictness(ScheduleEntry):
    """The rules that change from lesson to lesson."""

    lost_cost: Positive
    off_road_cost: Positive
    speed_limit: Positive
    sliding_cost: Positive


class RulesConfig(Section):
    """The section `dream.practice.rules`: of the dreams of a lesson.

    `strictness` is a schedule, see `scheduled`; `discount` is per step.
    """

    temperature: Positive
    sampled: bool
    sight_noise: NonNegative
    lost_at: Share
    strictness: Schedule[Strictness]
    speed_cost: NonNegative
    sliding_limit: Positive
    discount: Share


@dataclass(frozen=True)
class Lesson:
    """`model` dreams, from the moments of `along` that `starts` draws; C listens to `memory`.

    `number` counts the lessons from 0, when C has learnt nothing yet. A car counts as lost
    `lost_delay` steps after its last tile; `errors` [E, Z] are those of M on the record. Dreams
    and PPO's updates are computed on `device`. No result depends on `threads`.
    """

    model: DreamModel
    memory: MemoryStep
    along: Along
    errors: Tensor
    config: RulesConfig
    starts: Starts
    number: int
    lost_delay: int
    rng: np.random.Generator
    threads: int
    device: str

    @property
    def first(self) -> bool:
        """True for the first lesson."""
        return self.number == 0

    def rules(self, share: float, horizon: int = 1) -> Rules:
        """The rules of dreams of `horizon` steps at `share`, 0 to 1, of the lesson."""
        config = self.config

        def now(rule: str) -> float:
            return scheduled(config.strictness, rule, self.number + share)

        return Rules(
            temperature=config.temperature,
            sampled=config.sampled,
            sight_noise=config.sight_noise,
            horizon=horizon,
            lost_cost=now("lost_cost"),
            lost_at=config.lost_at,
            off_road_cost=now("off_road_cost"),
            speed_limit=now("speed_limit"),
            speed_cost=config.speed_cost,
            sliding_limit=config.sliding_limit,
            sliding_cost=now("sliding_cost"),
        )

    @cached_property
    def rewards(self) -> np.ndarray:
        """The recorded rewards [n] of all moments, as dreams pay them at the end of the lesson."""
        return paid_along(self.along, self.rules(1.0))

    def dream(
        self, num_envs: int, horizon: int, share: float, moments: int | None = None
    ) -> Dream:
        """Dreams of `horizon` steps from `moments` moments drawn at random; None: as many as there
        are dreams."""
        count = num_envs if moments is None else moments
        rows = self.starts.draw(count, self.rng)
        start = self.along.moments.rows(rows)
        rules = self.rules(share, horizon)
        if self.device != "cpu":
            return DreamOnDevice(
                self.model,
                self.memory,
                start,
                rules,
                num_envs,
                errors=self.errors,
                device=self.device,
            )
        return Dream(self.model, self.memory, start, rules, num_envs, self.threads, self.errors)


class DreamTrainer(Protocol):
    """What trains C in dreams: PPO, or an evolution strategy."""

    def learn(self, lesson: Lesson) -> dict[str, float]:
        """Train C in the dreams of a lesson; returns what the curve shows of it: `dreamt_reward`
        (points per step), `exploration_std` and what is the trainer's own."""

    def point(self) -> np.ndarray:
        """C as a point [D] of its space, as it is kept."""
