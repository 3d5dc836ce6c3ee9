"""Spread work over one process a core; notice workers that die or hang and do their work again."""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, TypeVar

import torch
from loky import get_reusable_executor
from loky.process_executor import BrokenProcessPool
from threadpoolctl import threadpool_limits

from worldmodels.pipeline.errors import UserError
from worldmodels.runtime.cores import worker_count

Result = TypeVar("Result")
ATTEMPTS = 3
HANGS_AFTER = float(os.environ.get("WM_HANGS_AFTER", "1800"))  # seconds


def deal(items: Sequence[Any], hands: int) -> list[list[int]]:
    """Deal the indices of `items` to at most `hands` hands like cards, none of them empty."""
    return [list(range(hand, len(items), hands)) for hand in range(min(hands, len(items)))]


def run_chunks(
    function: Callable[..., Result],
    chunks: Sequence[tuple],
    describe: Callable[[tuple], str],
    on_done: Callable[[int, Result], None] = lambda index, result: None,
    hangs_after: float = HANGS_AFTER,
) -> list[Result]:
    """`function(*chunk)` for every chunk, in worker processes; results in the order of chunks.

    A worker that dies, or a pool in which nothing finishes for `hangs_after` seconds, is named
    and its chunks are run again; UserError after three attempts. `on_done` hears of each result.
    """
    results: dict[int, Result] = {}
    for attempt in range(1, ATTEMPTS + 1):
        left = [index for index in range(len(chunks)) if index not in results]
        pool = get_reusable_executor(
            max_workers=worker_count(),
            timeout=600,
            initializer=_start,
            initargs=(os.getpid(),),
        )
        try:
            futures = {pool.submit(function, *chunks[index]): index for index in left}
            trouble = _collect(futures, results, on_done, hangs_after)
        except BrokenProcessPool as error:
            trouble = f"a worker died ({str(error).splitlines()[0]})"
        except BaseException:  # nothing more is wanted of the others
            pool.shutdown(wait=False, kill_workers=True)
            raise
        if not trouble:
            return [results[index] for index in range(len(chunks))]
        get_reusable_executor(max_workers=worker_count(), kill_workers=True, reuse=False)
        lost = [index for index in left if index not in results]
        names = "; ".join(describe(chunks[index]) for index in lost)
        print(
            f"{trouble}; lost: {names}; attempt {attempt} of {ATTEMPTS}",
            file=sys.stderr,
            flush=True,
        )
    raise UserError(
        f"{trouble} {ATTEMPTS} times at: {names}; "
        "if memory is short, set WM_WORKERS to a smaller number; if the episodes are just long, "
        "WM_HANGS_AFTER to more seconds"
    )


def _start(parent: int) -> None:
    """Make a process a worker of `parent`: one thread, and freed memory stays with it.

    glibc gives large blocks back to the system when they are freed; fetching them again at every
    frame costs a tenth of the time.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which ends its workers
    torch.set_num_threads(1)
    threadpool_limits(1)  # those of numpy
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        m_mmap_threshold, m_trim_threshold = -3, -1  # malloc.h
        libc.mallopt(m_mmap_threshold, 1 << 30)
        libc.mallopt(m_trim_threshold, 1 << 30)


def _end_with(parent: int) -> None:
    """End this process when its parent is gone: one killed outright cannot tell its workers."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _collect(
    futures: dict[Future, int],
    results: dict[int, Any],
    on_done: Callable[[int, Any], None],
    hangs_after: float,
) -> str:
    """Take in results until all are there; returns what went wrong with the pool, or ''."""
    pending = set(futures)
    while pending:
        done, pending = wait(pending, timeout=hangs_after, return_when=FIRST_COMPLETED)
        if not done:
            return f"no worker finished anything in {hangs_after:.0f} s"
        for future in done:
            results[futures[future]] = future.result()
            on_done(futures[future], results[futures[future]])
    return ""
