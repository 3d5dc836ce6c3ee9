"""The number of worker processes to start, and of threads to compute on."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits

from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.machine import available_cores, number_from_environment


def worker_count(jobs: int | None = None) -> int:
    """One worker per core this process may use, or as many as the environment variable WM_WORKERS
    says; never more than there are `jobs`.

    No result depends on it. Raises UserError if WM_WORKERS is not a whole number, 1 or more.
    """
    wanted = number_from_environment("WM_WORKERS", available_cores(), at_least=1)
    if wanted != int(wanted):
        raise UserError(f"WM_WORKERS is {wanted:g}: set it to a whole number of processes")
    return int(wanted) if jobs is None else max(1, min(int(wanted), jobs))


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
