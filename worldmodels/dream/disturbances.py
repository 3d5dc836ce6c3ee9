"""What disturbs C on the real track while it is recorded: haste, and the explorer at the wheel.

A record in which C corrects whatever happens teaches M that cars stay on the road, whatever the
wheel does; and one in which C is never faster than it should be, that they can never be too fast.
"""

from typing import Annotated

import numpy as np
from pydantic import Field

from worldmodels.dream.schedule import ScheduleEntry
from worldmodels.environment.actions import HIGHEST, LOWEST
from worldmodels.environment.interface import ACTION_SIZE
from worldmodels.pipeline.params import Count, Range, Section, Share
from worldmodels.policies.explorer import Exploration, ExplorationConfig


class HasteConfig(ScheduleEntry):
    """An entry of `dream.practice.record.haste` in params.yaml.

    Every `steps` steps, each of the cars with noise is chosen with probability `share`. An offset,
    drawn uniformly between 0 and `most`, is then added to C's outputs, before the action map.
    """

    share: Share
    steps: Count
    most: Annotated[list[float], Field(min_length=ACTION_SIZE, max_length=ACTION_SIZE)]

    def draw(self, envs: int, rng: np.random.Generator) -> np.ndarray:
        """What is added [N, A] to the outputs of C in each of `envs` cars."""
        added = rng.uniform(size=(envs, ACTION_SIZE)) * np.array(self.most)
        return added * (rng.uniform(size=(envs, 1)) < self.share)


class TakeoverConfig(Section):
    """The section `dream.practice.record.takeovers` of params.yaml.

    In the share `cars` of the disturbed cars, C and the explorer drive in turn, for a number of
    steps drawn uniformly from `c_steps` and from `explorer_steps`. C drives without noise there.
    """

    cars: Share
    c_steps: Range[Count]
    explorer_steps: Range[Count]
    exploration: ExplorationConfig


class Takeovers:
    """C, which begins, and the explorer take turns to drive each of the first cars, whose share of
    `envs` is `config.cars`."""

    def __init__(
        self,
        config: TakeoverConfig,
        envs: int,
        rng: np.random.Generator,
    ):
        self.config = config
        self.by: list[Exploration | None] = [None] * round(config.cars * envs)
        low, high = config.c_steps
        self.remaining = rng.integers(low, high + 1, size=len(self.by))

    def step(self, actions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The actions [N, A] that are taken, given those of C."""
        taken = actions.copy()
        for slot, explorer in enumerate(self.by):
            if self.remaining[slot] == 0:
                explorer = Exploration(self.config.exploration, rng) if explorer is None else None
                low, high = self.config.explorer_steps if explorer else self.config.c_steps
                self.by[slot], self.remaining[slot] = explorer, rng.integers(low, high + 1)
            if explorer is not None:
                taken[slot] = np.clip(explorer.step(), LOWEST, HIGHEST)
        self.remaining -= 1
        return taken

    @property
    def cars(self) -> int:
        """The number of cars in which the two take turns."""
        return len(self.by)

    def by_explorer(self, envs: int) -> np.ndarray:
        """True [N] in those of `envs` cars in which the explorer decided the last step."""
        found = np.zeros(envs, bool)
        found[: self.cars] = [explorer is not None for explorer in self.by]
        return found
