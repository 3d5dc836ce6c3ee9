"""Where dreams begin: at recorded moments, a share of them just before C left the road.

C learns from what happens in its dreams. Once it drives well, few of its moments are followed by a
mistake, and what a mistake costs is lost in the noise of all the others.
"""

from dataclasses import dataclass

import numpy as np
from pydantic import model_validator

from worldmodels.dream.moments import Along
from worldmodels.dream.schedule import Schedule, ScheduleEntry, latest
from worldmodels.pipeline.params import Count, Section, Share


class HardShare(ScheduleEntry):
    """The share of the dreams that begin at hard moments, from `lesson` on."""

    share: Share


class StartsConfig(Section):
    """The section `dream.practice.starts` of params.yaml.

    Of the dreams, the share `explored` begins in the explorer's drives, the share `hard`, by
    lessons (see `latest`), at moments from which C left the road within `hard_steps`, the rest in
    C's drives. They begin in the last `newest_frames` of C's and in `explored_drives` of the
    explorer's.
    """

    explored: Share
    hard: Schedule[HardShare]
    hard_steps: Count
    newest_frames: Count
    explored_drives: Count

    @model_validator(mode="after")
    def refuse_excess(self) -> "StartsConfig":
        """The section; raises ValueError if the two shares exceed 1."""
        most = self.explored + max(entry.share for entry in self.hard)
        if most > 1:
            raise ValueError(
                f"explored and hard are shares of all dreams; they add up to {most:g}, more than 1"
            )
        return self


@dataclass(frozen=True)
class Starts:
    """The rows of an `Along` that dreams may begin with, none of them of a lost car.

    `explored` [e] are the explorer's, `of_c` [c] are C's, and `hard` [h] those of C's that it left
    the road from; `explored_share` and `hard_share` are their shares of the dreams.
    """

    explored: np.ndarray
    of_c: np.ndarray
    hard: np.ndarray
    explored_share: float
    hard_share: float

    @classmethod
    def of(cls, along: Along, config: StartsConfig, lesson: int, delay: int) -> "Starts":
        """Those of `along` in a lesson; a car counts as lost `delay` steps after its last tile."""
        lost_from = np.array([drive.lost_from(delay) for drive in along.drives])
        of_c = np.array([drive.scene is not None for drive in along.drives])[along.of]
        useful = along.step < lost_from[along.of]
        hard = leaves_the_road(along, useful, config.hard_steps)
        return cls(
            explored=np.flatnonzero(useful & ~of_c),
            of_c=np.flatnonzero(useful & of_c),
            hard=np.flatnonzero(useful & of_c & hard),
            explored_share=config.explored,
            hard_share=latest(config.hard, lesson).share,
        )

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Rows [count], drawn at random.

        No more hard ones are drawn than there are: a few, repeated, would be memorised. A share
        that the record cannot fill goes to the others.
        """
        hard = min(round(count * self.hard_share), len(self.hard))
        explored = min(round(count * self.explored_share), count - hard)
        if not len(self.explored):
            explored = 0
        if not len(self.of_c):
            explored = count
        others = count - explored - hard
        kinds = [(self.explored, explored), (self.hard, hard), (self.of_c, others)]
        return np.concatenate([rng.choice(rows, n) for rows, n in kinds if n])


def leaves_the_road(along: Along, useful: np.ndarray, steps: int) -> np.ndarray:
    """True [n] where a car with a wheel on the road has none on it within `steps` steps, all by C.

    Leaving the road does not count once the car is lost, where it is not `useful` [n].
    """
    off, by_c, rows = along.joined("off_road"), along.by_c, np.arange(len(along.step))
    leaves = next_true((off == 1) & useful & by_c)
    by_others = next_true(~by_c)
    ends = (along.starts + along.lengths)[along.of]
    return (off < 1) & (leaves - rows <= steps) & (leaves < np.minimum(by_others, ends))


def next_true(flags: np.ndarray) -> np.ndarray:
    """The first row [n] at or after each one where `flags` [n] is true; n where there is none."""
    rows = np.where(flags, np.arange(len(flags)), len(flags))
    return np.minimum.accumulate(rows[::-1])[::-1]
