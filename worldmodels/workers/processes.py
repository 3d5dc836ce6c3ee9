"""Run jobs in processes of this machine; run those again whose worker dies or hangs."""

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
from loky.process_executor import BrokenProcessPool, ProcessPoolExecutor
from threadpoolctl import threadpool_limits

from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.machine import number_from_environment
from worldmodels.runtime.cores import worker_count
from worldmodels.workers.jobs import Job

Result = TypeVar("Result")
ATTEMPTS = 3
IDLE_SECONDS = 600  # after which a worker without a job ends
HANGS_AFTER = 1800.0  # seconds, unless WM_HANGS_AFTER says otherwise
_most_jobs = 0  # of any call so far: see `_workers`


def run_in_processes(
    jobs: Sequence[Job[Result]],
    on_done: Callable[[int, Result], None] = lambda index, result: None,
    hangs_after: float | None = None,
) -> list[Result]:
    """Run all `jobs` in worker processes; returns their results in the order of the jobs.

    `on_done` is called with the index and the result of each job as it finishes. A worker that
    dies, or a pool in which nothing finishes for `hangs_after` seconds, is reported with the jobs
    that were lost, and these are run again. Raises UserError after three attempts, and whatever a
    job raises.
    """
    if hangs_after is None:
        hangs_after = number_from_environment("WM_HANGS_AFTER", HANGS_AFTER)
    results: dict[int, Result] = {}
    for attempt in range(1, ATTEMPTS + 1):
        remaining = [index for index in range(len(jobs)) if index not in results]
        pool = _workers(len(remaining))
        try:
            futures = {pool.submit(_run, jobs[index]): index for index in remaining}
            trouble = _collect(futures, results, on_done, hangs_after)
        except BrokenProcessPool as error:
            trouble = f"a worker died ({str(error).splitlines()[0]})"
        except BaseException:  # the results of the others are no longer wanted
            pool.shutdown(wait=False, kill_workers=True)
            raise
        if not trouble:
            return [results[index] for index in range(len(jobs))]
        pool.shutdown(wait=False, kill_workers=True)
        lost = "; ".join(str(jobs[index]) for index in remaining if index not in results)
        print(
            f"{trouble}; lost: {lost}; attempt {attempt} of {ATTEMPTS}",
            file=sys.stderr,
            flush=True,
        )
    raise UserError(
        f"gave up after {ATTEMPTS} attempts ({trouble}); unfinished: {lost}; if memory is short, "
        "set WM_WORKERS to a smaller number; if the jobs are merely long, set WM_HANGS_AFTER to "
        "more seconds"
    )


def _run(job: Job[Result]) -> Result:
    """Run a job in a worker."""
    return job.run()


def _workers(jobs: int) -> ProcessPoolExecutor:
    """The pool of worker processes, which stays for the next call.

    It starts no more workers than there are jobs, and grows but does not shrink from call to call:
    a worker takes seconds to start.
    """
    global _most_jobs
    _most_jobs = max(_most_jobs, jobs)
    return get_reusable_executor(
        max_workers=worker_count(_most_jobs),
        timeout=IDLE_SECONDS,
        initializer=_start_worker,
        initargs=(os.getpid(),),
    )


def _start_worker(parent: int) -> None:
    """Make a process a worker of `parent`: one thread, and freed memory stays with it.

    glibc returns large blocks to the system when they are freed; fetching them again for every
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
    """End this process when its parent ends: one that is killed cannot tell its workers."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _collect(
    futures: dict[Future, int],
    results: dict[int, Any],
    on_done: Callable[[int, Any], None],
    hangs_after: float,
) -> str:
    """Add results until all are there; returns what went wrong with the pool, or ''."""
    pending = set(futures)
    while pending:
        done, pending = wait(pending, timeout=hangs_after, return_when=FIRST_COMPLETED)
        if not done:
            return f"no worker finished anything in {hangs_after:.0f} s"
        for future in done:
            results[futures[future]] = future.result()
            on_done(futures[future], results[futures[future]])
    return ""
