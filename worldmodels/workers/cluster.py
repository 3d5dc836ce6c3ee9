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
from worldmodels.workers.watch import LostError, say, waits

Result = TypeVar("Result")
FIRST_CONTACT = 30.0  # seconds that a scheduler has to answer in the first time
_connections: dict[str, Connection] = {}


def run_on_cluster(
    address: str,
    jobs: Sequence[Job[Result]],
    on_done: Callable[[int, Result], None] = lambda index, result: None,
) -> list[Result]:
    """Run all `jobs` on the workers of the scheduler at `address`; returns their results in order.

    `on_done` as in `run_jobs`. Dask runs a job again whose worker is lost; those that a scheduler
    takes with it run again when it is back within WM_CLUSTER_WAIT seconds. Raises UserError if it
    is not, or has no workers in that time, and whatever a job raises.
    """
    results: dict[int, Result] = {}
    attempts = 0
    while remaining := [index for index in range(len(jobs)) if index not in results]:
        before = len(results)
        try:
            connect(address).run(remaining, jobs, results, on_done)
        except LostError as trouble:
            leave(address)
            attempts = 1 if len(results) > before else attempts + 1
            lost = f"{trouble}; {len(jobs) - len(results)} of {len(jobs)} jobs are lost"
            if attempts == ATTEMPTS:
                raise UserError(f"{lost}, {ATTEMPTS} times in a row") from None
            say(f"{lost}, and run again when it answers")
            reconnect(address)
    return [results[index] for index in range(len(jobs))]


def cluster_size(address: str) -> int:
    """The number of workers of the scheduler at `address` that take jobs now."""
    try:
        return len(connect(address).admitted())
    except LostError:
        return 0


def connect(address: str) -> Connection:
    """The connection to the scheduler at `address`, which stays for the next call.

    Raises UserError if none answers.
    """
    if address not in _connections:
        _connections[address] = Connection(address, FIRST_CONTACT)
    return _connections[address]


def reconnect(address: str) -> None:
    """Connect again to a scheduler that was lost. Raises UserError if it does not come back."""
    _connections[address] = Connection(address, waits())


def leave(address: str) -> None:
    """Close the connection to the scheduler at `address`, if there is one; its workers stay."""
    if address in _connections:
        _connections.pop(address).close()
