"""Values that go from their first to their last in a training, costs per output of C, and the
groups that drive."""

from typing import Annotated

import numpy as np
from pydantic import Field

from worldmodels.environment.interface import ACTION_SIZE
from worldmodels.pipeline.params import NonNegative, Positive
from worldmodels.runtime.batch import FIXED_BATCH

FromTo = Annotated[list[Positive], Field(min_length=2, max_length=2)]
OutputCosts = Annotated[list[NonNegative], Field(min_length=ACTION_SIZE, max_length=ACTION_SIZE)]
Discounts = Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Field(min_length=2, max_length=2)]


def geometric(ends: list[float], share: float) -> float:
    """The value at `share`, 0 to 1, of the way from `ends[0]` to `ends[1]`, geometrically."""
    return float(ends[0] ** (1 - share) * ends[1] ** share)


def discount_at(ends: list[float], share: float) -> float:
    """The discount at `share` of the way: 1 - discount goes geometrically."""
    return 1 - geometric([1 - discount for discount in ends], share)


def group_sizes(envs: int) -> list[int]:
    """The number of environments of each group that `envs` environments are driven in.

    A group is one job. Results depend on the groups, so their number follows from params and not
    from the machine.
    """
    return [len(part) for part in np.array_split(np.arange(envs), -(-envs // FIXED_BATCH))]


def refuse_few_tracks(tracks: int, envs: int) -> None:
    """Raise ValueError for fewer `tracks` than groups of `envs` environments, which share none."""
    groups = len(group_sizes(envs))
    if tracks < groups:
        raise ValueError(
            f"tracks is {tracks}, but the cars drive in {groups} groups, which share no tracks: "
            "raise it"
        )
