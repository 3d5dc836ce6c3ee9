"""Values that change from lesson to lesson."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from worldmodels.pipeline.params import NonNegative, Section


class ScheduleEntry(Section):
    """Values as they are at `lesson`, counted from 0; 0.5 is the middle of the first one."""

    lesson: NonNegative


AnyEntry = TypeVar("AnyEntry", bound=ScheduleEntry)


def in_order(schedule: list[AnyEntry]) -> list[AnyEntry]:
    """A schedule; raises ValueError unless the lessons of its entries rise."""
    lessons = [entry.lesson for entry in schedule]
    if lessons != sorted(set(lessons)):
        raise ValueError(f"its lessons must rise; they are {lessons}")
    return schedule


def scheduled(schedule: Sequence[ScheduleEntry], name: str, lesson: float) -> float:
    """The value of this name at `lesson`: it changes geometrically between two entries, and not
    before the first or after the last."""
    lessons = [entry.lesson for entry in schedule]
    values = [getattr(entry, name) for entry in schedule]
    return float(np.exp(np.interp(lesson, lessons, np.log(values))))
