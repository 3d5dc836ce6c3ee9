"""Run jobs on a Dask cluster, which may gain and lose workers meanwhile.

A worker is given jobs once it has passed the gate: the same versions, code and bits as here. Large
arrays travel as tasks of their own, once per worker; Dask makes them again where they are lost.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from worldmodels.pipeline.errors import UserError
from worldmodels.workers.connection import Connection
from worldmodels.workers.jobs import Job
from worldmodels.workers.processes import ATTEMPTS
from worldmodels.workers.watch import LostError, say, wait_limit

Result = TypeVar("Result")
FIRST_CONTACT = 30.0  # seconds within which a scheduler must answer at first
_connections: dict[str, Connection] = {}


def run_on_cluster(
    address: str,
    jobs: Sequence[Job[Result]],
    on_done: Callable[[int, Result], None] = lambda index, result: None,
) -> list[Result]:
    """Run all `jobs` on the workers of the scheduler at `address`; returns their results in order.

    `on_done` as in `run_jobs`. Dask runs a job again if its worker is lost; jobs lost with the
    scheduler run again if it is back within WM_CLUSTER_WAIT seconds. Raises UserError if it is
    not, or has no workers in that time, and whatever a job raises.
    """
    refuse_accelerators(jobs)
    results: dict[int, Result] = {}
    attempts, patience = 0, FIRST_CONTACT
    while remaining := [index for index in range(len(jobs)) if index not in results]:
        before = len(results)
        try:
            connect(address, patience).run(remaining, jobs, results, on_done)
        except LostError as trouble:
            leave(address)
            attempts = 1 if len(results) > before else attempts + 1
            lost = f"{trouble}; {len(jobs) - len(results)} of {len(jobs)} jobs are lost"
            if attempts == ATTEMPTS:
                raise UserError(f"{lost}, {ATTEMPTS} times in a row") from None
            say(f"{lost}, and run again when it answers")
            patience = wait_limit()
    return [results[index] for index in range(len(jobs))]


def refuse_accelerators(jobs: Sequence[Job]) -> None:
    """Raise UserError for jobs that compute on an accelerator: the gate compares CPUs alone."""
    for job in jobs:
        if (device := getattr(job, "device", "cpu")) != "cpu":
            raise UserError(
                f"machine.device is {device!r}, but the workers of a cluster drive on their CPUs: "
                "set it to cpu, or unset WM_CLUSTER"
            )


def cluster_size(address: str) -> int:
    """The number of workers of the scheduler at `address` that take jobs now."""
    try:
        return len(connect(address).workers().running)
    except LostError:
        return 0


def connect(address: str, patience: float = FIRST_CONTACT) -> Connection:
    """The connection to the scheduler at `address`, which stays for the next call.

    Raises UserError if none answers within `patience` seconds, LostError if it is lost meanwhile.
    """
    if address not in _connections:
        _connections[address] = Connection(address, patience)
    return _connections[address]


def leave(address: str) -> None:
    """Close the connection to the scheduler at `address`, if there is one; its workers stay."""
    if address in _connections:
        _connections.pop(address).close()
