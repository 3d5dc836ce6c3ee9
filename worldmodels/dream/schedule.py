"""Values that change from lesson to lesson."""

from collections.abc import Sequence
from typing import Annotated, TypeVar

import numpy as np
from pydantic import AfterValidator, Field

from worldmodels.pipeline.params import Count, NonNegative, Section


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


Schedule = Annotated[list[AnyEntry], Field(min_length=1), AfterValidator(in_order)]


def latest(schedule: Sequence[AnyEntry], lesson: int) -> AnyEntry:
    """The last entry that begins by `lesson`, or the first one."""
    begun = [entry for entry in schedule if entry.lesson <= lesson]
    return begun[-1] if begun else schedule[0]


def scheduled(schedule: Sequence[ScheduleEntry], name: str, lesson: float) -> float:
    """The value of this name at `lesson`: it changes geometrically between two entries, and not
    before the first or after the last."""
    lessons = [entry.lesson for entry in schedule]
    values = [getattr(entry, name) for entry in schedule]
    return float(np.exp(np.interp(lesson, lessons, np.log(values))))


class Average(ScheduleEntry):
    """From `lesson` on, C is the mean of the results of the last `lessons`."""

    lessons: Count


Averages = Schedule[Average]


def mean_of_last(
    results: list[np.ndarray], averages: list[Average], start: np.ndarray
) -> np.ndarray:
    """C [D] after lessons with these `results`, each [D]: the mean of the last ones; before the
    first one, `start`."""
    if not results:
        return start
    return np.mean(results[-latest(averages, len(results) - 1).lessons :], axis=0)
