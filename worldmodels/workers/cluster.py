"""Run jobs on a Dask cluster, which may gain and lose workers meanwhile.

A worker is given jobs once it has passed the gate: the same versions, code and bits as here. Large
arrays travel as tasks of their own, once per worker; Dask makes them again where they are lost.
"""

import logging
import pickle
import queue
import sys
import time
import uuid
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import cloudpickle
import distributed

from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.machine import number_from_environment
from worldmodels.workers import remote
from worldmodels.workers.admission import identity
from worldmodels.workers.jobs import Job
from worldmodels.workers.packing import pack
from worldmodels.workers.processes import ATTEMPTS, HANGS_AFTER

Result = TypeVar("Result")
FIRST_CONTACT = 30.0  # seconds that a scheduler has to answer in the first time
WAIT = 600.0  # seconds to wait for a scheduler or workers that are gone, unless WM_CLUSTER_WAIT
POLL = 1.0  # seconds between two looks at the cluster
_connections: dict[str, "Connection"] = {}


class LostError(Exception):
    """The scheduler is gone, or hangs, with all that it knew of jobs that had not ended."""


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


def connect(address: str) -> "Connection":
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


def waits() -> float:
    """Seconds to wait for what is gone."""
    return number_from_environment("WM_CLUSTER_WAIT", WAIT)


def unique() -> str:
    """A name that no other process gives."""
    return uuid.uuid4().hex


def say(message: str) -> None:
    """Tell the user, between the lines of the progress bar."""
    print(f"cluster: {message}", file=sys.stderr, flush=True)


class ByValue:
    """A function of `remote` that no process at the other end has to import.

    Dask pickles by name what it can, even in a module that is registered to go by value.
    """

    def __init__(self, function: Callable):
        self.function, self.content = function, cloudpickle.dumps(function)

    def __call__(self, *values: Any) -> Any:
        return self.function(*values)

    def __reduce__(self) -> tuple[Callable, tuple[bytes]]:
        return cloudpickle.loads, (self.content,)


class Connection:
    """A client of the scheduler at `address`, whose workers the gate admits or refuses."""

    def __init__(self, address: str, patience: float):
        """Raises UserError if no scheduler answers within `patience` seconds."""
        # Dask logs every stage of a loss; what counts is said in one line
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        self.address = address
        self.client = self._client(patience)
        self.refused: dict[str, list[str]] = {}
        self.parts: dict[str, Any] = {}  # futures, by name
        self.paused: list[str] = []  # workers that Dask gives nothing, for their memory is full
        wanted = identity()
        mark = wanted.mark
        self.slot, self.room = f"worldmodels-job-{mark}", f"worldmodels-part-{mark}"
        self.client.subscribe_topic(remote.TOPIC, self._refusal)
        cloudpickle.register_pickle_by_value(remote)
        self.keep, self.run_packed = ByValue(remote.keep), ByValue(remote.run_packed)
        plugin = remote.Gate(pickle.dumps(wanted), self.slot, self.room)
        self.client.register_plugin(plugin, name=f"worldmodels-gate-{mark}")
        for event in self.client.get_events(remote.TOPIC):  # from before the subscription came
            self._refusal(event)

    def _client(self, patience: float) -> Any:
        until = time.monotonic() + patience
        while True:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of other versions: the gate is stricter
                    return distributed.Client(
                        self.address, timeout=min(patience, 10.0), set_as_default=False
                    )
            except (OSError, TimeoutError, ValueError, TypeError) as error:
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                if time.monotonic() > until or isinstance(error, ValueError):
                    raise UserError(
                        f"WM_CLUSTER is {self.address!r}, but no Dask scheduler answers there "
                        f"({reason}): start one, correct the address, or unset it. Nothing that a "
                        "checkpoint holds is lost"
                    ) from None
                time.sleep(POLL)

    def close(self) -> None:
        """Leave the cluster; its workers stay."""
        self.parts.clear()
        with suppress(Exception):  # the scheduler may be gone
            self.client.close(timeout=2)

    def admitted(self) -> set[str]:
        """The addresses of the workers that take jobs now.

        Raises LostError if the scheduler is gone.
        """
        if self.client.status != "running":
            raise LostError(f"lost the scheduler at {self.address}")
        try:
            workers = self.client.scheduler_info()["workers"]
        except Exception as error:
            raise LostError(f"lost the scheduler at {self.address} ({error})") from None
        passed = {at: w["status"] for at, w in workers.items() if self.slot in w["resources"]}
        self.paused = sorted(at for at, status in passed.items() if status == "paused")
        return {at for at, status in passed.items() if status == "running"}

    def run(
        self,
        remaining: Sequence[int],
        jobs: Sequence[Job],
        results: dict[int, Any],
        on_done: Callable[[int, Any], None],
    ) -> None:
        """Run the `remaining` ones of `jobs`, and add their results to `results`.

        Raises LostError if the scheduler is gone, UserError if it has had no workers for too long.
        """
        done: queue.Queue = queue.Queue()
        watch, pending = Watch(self), dict[Any, int]()
        while not watch.look():
            time.sleep(POLL)
        try:
            pending = self._submit(remaining, jobs, done)
            while pending:
                try:
                    ended = done.get(timeout=POLL)
                except queue.Empty:
                    if watch.look():  # Dask does not see that newly admitted ones can run them
                        self.client.cancel([*pending, *self.parts.values()], force=True)
                        self.parts.clear()
                        pending = self._submit(list(pending.values()), jobs, done)
                    continue
                if ended not in pending:  # it was sent again
                    continue
                index = pending.pop(ended)
                results[index] = self._result(ended, jobs[index])
                on_done(index, results[index])
                watch.something_ended()
        except BaseException:
            with suppress(Exception):  # the results of the others are no longer wanted
                self.client.cancel(list(pending), force=True)
            raise

    def _submit(
        self, indices: Sequence[int], jobs: Sequence[Job], done: queue.Queue
    ) -> dict[Any, int]:
        """Futures of the `jobs` at `indices`, with these; each is put into `done` as it ends."""
        packed = [pack(jobs[index]) for index in indices]
        content = {name: part for _, parts in packed for name, part in parts.items()}
        # Those of the last call stay: V and M are in every one
        self.parts = {
            name: self.parts.get(name)
            or self.client.submit(
                self.keep, part, key=f"worldmodels-part-{unique()}", resources={self.room: 1}
            )
            for name, part in content.items()
        }
        futures = [
            self.client.submit(
                self.run_packed,
                body,
                {name: self.parts[name] for name in parts},
                key=f"worldmodels-job-{unique()}",
                resources={self.slot: 1},
            )
            for body, parts in packed
        ]
        for future in futures:
            future.add_done_callback(done.put)
        return dict(zip(futures, indices))

    def _result(self, future: Any, job: Job) -> Any:
        """The result of a future that has ended.

        Raises what the job raised, UserError if it takes its workers with it, LostError if the
        scheduler was lost.
        """
        if future.status not in ("finished", "error"):
            raise LostError(f"lost the scheduler at {self.address}")
        try:
            return pickle.loads(future.result(timeout=waits()))
        except distributed.scheduler.KilledWorker as error:
            raise UserError(
                f"{job}: {error.allowed_failures + 1} workers died of it, the last of them "
                f"{error.last_worker.address}: if their memory is short, give them more or start "
                "fewer. Nothing that a checkpoint holds is lost"
            ) from None
        except (distributed.CancelledError, TimeoutError, OSError) as error:
            raise LostError(f"lost the scheduler at {self.address} ({error})") from None

    def _refusal(self, event: tuple[float, Any]) -> None:
        """Tell of a worker that the gate has refused, once."""
        said = event[1]
        if said["slot"] == self.slot and said["worker"] not in self.refused:
            self.refused[said["worker"]] = said["reasons"]
            say(f"worker {said['worker']} is refused: {'; '.join(said['reasons'])}")


class Watch:
    """Looks at a cluster while jobs run on it."""

    def __init__(self, connection: Connection):
        self.connection = connection
        self.known: set[str] = set()  # the workers at the last look
        self.hangs_after = number_from_environment("WM_HANGS_AFTER", HANGS_AFTER)
        self.last_end = time.monotonic()
        self.empty_since: float | None = None

    def something_ended(self) -> None:
        """Note that a job has ended."""
        self.last_end = time.monotonic()

    def look(self) -> bool:
        """Tell of workers that left; returns True if there are workers, and none is one of those
        at the last look.

        Raises LostError if the scheduler is gone, or no job ends for too long, and UserError if
        there have been no workers for too long.
        """
        connection, now = self.connection, time.monotonic()
        here = connection.admitted()
        others = bool(here) and not (here & self.known)
        for left in sorted(self.known - here):
            say(f"worker {left} is gone; what it ran runs on another")
        self.known = here
        if here:
            self.empty_since = None
            if now - self.last_end > self.hangs_after:
                raise LostError(f"no worker finished anything in {self.hangs_after:.0f} s")
            return others
        self.last_end = now  # nobody hangs
        if self.empty_since is None:
            self.empty_since = now
            say(f"no workers at {connection.address}; waits {waits():.0f} s for some")
        elif now - self.empty_since > waits():
            told = [f"{at} was refused: {'; '.join(w)}" for at, w in connection.refused.items()]
            told += [f"{at} is paused: its memory is full" for at in connection.paused]
            raise UserError(
                f"the scheduler at {connection.address} had no workers for {waits():.0f} s"
                f"{''.join(f'; {reason}' for reason in told)}. Nothing that a checkpoint holds is "
                "lost: start some and run the same again, or set WM_CLUSTER_WAIT to more seconds"
            )
        return False
