"""Jobs, and how work is dealt out to them."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

ResultOut = TypeVar("ResultOut", covariant=True)


class Job(Protocol[ResultOut]):
    """A piece of work for a worker: a picklable value that holds all it needs.

    `str(job)` names it in messages. What it returns depends on the job alone.
    """

    def run(self) -> ResultOut: ...


def split_evenly(items: Sequence[Any], parts: int) -> list[list[int]]:
    """Deal the indices of `items` to at most `parts` lists in turn; none is empty."""
    return [list(range(part, len(items), parts)) for part in range(min(parts, len(items)))]
