"""Run jobs where the user wants them: in processes of this machine, or on a cluster.

WM_CLUSTER says where: unset, empty or "local", or the address of a Dask scheduler. It is an
environment variable and no param, since no result depends on it.
"""

import os
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TypeVar

from worldmodels.pipeline.errors import UserError
from worldmodels.runtime.cores import worker_count
from worldmodels.workers.jobs import Job
from worldmodels.workers.processes import run_in_processes

Result = TypeVar("Result")


def run_jobs(
    jobs: Sequence[Job[Result]],
    on_done: Callable[[int, Result], None] = lambda index, result: None,
) -> list[Result]:
    """Run all `jobs`; returns their results in the order of the jobs.

    `on_done` is called with the index and the result of each job as it finishes. Jobs whose worker
    is lost run again. Raises UserError if that does not help, and whatever a job raises.
    """
    if (address := cluster_address()) is None:
        return run_in_processes(jobs, on_done)
    return _cluster().run_on_cluster(address, jobs, on_done)


def workers_at_hand(jobs: int | None = None) -> int:
    """The number of workers that jobs will run on, at least 1 and at most `jobs`.

    A cluster that has none yet may have more later.
    """
    if (address := cluster_address()) is None:
        return worker_count(jobs)
    found = max(1, _cluster().cluster_size(address))
    return found if jobs is None else max(1, min(found, jobs))


def cluster_address() -> str | None:
    """The scheduler's address in WM_CLUSTER; None for the processes of this machine."""
    address = os.environ.get("WM_CLUSTER", "").strip()
    return None if address in ("", "local") else address


def _cluster() -> ModuleType:
    """The module that runs jobs on a cluster. Raises UserError where its packages are missing."""
    try:
        from worldmodels.workers import cluster
    except ImportError as error:
        raise UserError(
            f"WM_CLUSTER is set, but {error}: pip install -r requirements-cluster.txt, or unset it"
        ) from None
    return cluster
