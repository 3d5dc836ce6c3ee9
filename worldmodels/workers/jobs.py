"""Jobs, and how work is dealt out to them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import torch
from threadpoolctl import threadpool_limits

ResultOut = TypeVar("ResultOut", covariant=True)


class Job(Protocol[ResultOut]):
    """A piece of work for a worker: a picklable value that holds all it needs.

    `str(job)` names it in messages. What it returns depends on the job alone.
    """

    def run(self) -> ResultOut: ...


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch and numpy compute on one thread, as every job does: bits depend on it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):  # those of numpy
            yield
    finally:
        torch.set_num_threads(before)


def split_evenly(items: Sequence[Any], parts: int) -> list[list[int]]:
    """Deal the indices of `items` to at most `parts` lists in turn; none is empty."""
    return [list(range(part, len(items), parts)) for part in range(min(parts, len(items)))]
