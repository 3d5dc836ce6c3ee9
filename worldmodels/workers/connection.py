"""A client of a Dask scheduler: admits workers, sends jobs, and hears how they end."""

import logging
import pickle
import queue
import time
import uuid
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import cloudpickle
import distributed

from worldmodels.pipeline.errors import UserError
from worldmodels.workers import remote
from worldmodels.workers.admission import identity
from worldmodels.workers.jobs import Job
from worldmodels.workers.packing import Parts, pack
from worldmodels.workers.processes import ATTEMPTS
from worldmodels.workers.watch import LostError, Watch, Workers, say, wait_limit

POLL = 1.0  # seconds between two looks at the cluster


class Connection:
    """A client of the scheduler at `address`, whose workers the gate admits or refuses."""

    def __init__(self, address: str, patience: float):
        """Raises UserError if no scheduler answers within `patience` seconds, LostError if it or
        a worker is lost while the workers pass the gate."""
        # Dask logs every stage of a loss; what counts is said in one line
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        self.address = address
        self.client = self._client(patience)
        self.refused: dict[str, list[str]] = {}  # why, by address
        self.parts: dict[str, Any] = {}  # futures, by name
        wanted = identity()
        mark = wanted.mark
        self.slot, self.room = f"worldmodels-job-{mark}", f"worldmodels-part-{mark}"
        cloudpickle.register_pickle_by_value(remote)
        self.keep, self.run_packed = ByValue(remote.keep), ByValue(remote.run_packed)
        plugin = remote.Gate(pickle.dumps(wanted), self.slot, self.room)
        try:
            self.client.subscribe_topic(remote.TOPIC, self._refusal)
            self.client.register_plugin(plugin, name=f"worldmodels-gate-{mark}")
            here = self._connected()
            for event in self.client.get_events(remote.TOPIC):  # before the subscription came
                if event[1]["address"] in here:
                    self._refusal(event)
        except BaseException as error:
            self.close()
            if isinstance(error, (OSError, TimeoutError)):
                lost = f"lost the scheduler at {address}, or a worker ({error})"
                raise LostError(lost) from None
            raise

    def _client(self, patience: float) -> Any:
        until = time.monotonic() + patience
        while True:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of other versions: the gate is stricter
                    return distributed.Client(
                        self.address, timeout=min(patience, 10.0), set_as_default=False
                    )
            except (OSError, TimeoutError, ValueError, TypeError, AssertionError) as error:
                # The last is Dask's, where its own thread does not start within ten seconds
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

    def workers(self) -> Workers:
        """The admitted workers. Raises LostError if the scheduler is gone."""
        connected = self._connected()
        self.refused = {at: why for at, why in list(self.refused.items()) if at in connected}
        status = {at: w["status"] for at, w in connected.items() if self.slot in w["resources"]}
        of = {name: {at for at, s in status.items() if s == name} for name in Workers._fields}
        return Workers(**of)

    def _connected(self) -> dict[str, dict[str, Any]]:
        """What the scheduler knows of each worker, by address. Raises LostError."""
        if self.client.status != "running":
            raise LostError(f"lost the scheduler at {self.address}")
        try:
            return self.client.scheduler_info()["workers"]
        except Exception as error:
            raise LostError(f"lost the scheduler at {self.address} ({error})") from None

    def run(
        self,
        remaining: Sequence[int],
        jobs: Sequence[Job],
        results: dict[int, Any],
        on_done: Callable[[int, Any], None],
    ) -> None:
        """Run the `remaining` ones of `jobs`, and add their results to `results`.

        Raises LostError if the scheduler is gone, UserError if it has had no workers for too long
        or if the jobs kill them.
        """
        done: queue.Queue = queue.Queue()
        watch, pending = Watch(self), dict[Any, int]()
        attempts = 1  # since a job ended
        while not watch.look():
            time.sleep(POLL)
        try:
            pending = self._submit(remaining, jobs, done)
            while pending:
                ended = _next(done)
                if ended is None and watch.look():  # all who had jobs are gone, and others here
                    if attempts == ATTEMPTS:
                        raise workers_died(jobs[next(iter(pending.values()))], attempts)
                    attempts += 1
                    pending = self._submit_again(pending, jobs, done)
                elif ended in pending:  # and was not sent again
                    index = pending.pop(ended)
                    results[index] = self._result(ended, jobs[index])
                    on_done(index, results[index])
                    watch.something_ended()
                    attempts = 1
        except BaseException:
            with suppress(Exception):  # the results of the others are no longer wanted
                self.client.cancel(list(pending), force=True)
            raise

    def _submit_again(
        self, pending: dict[Any, int], jobs: Sequence[Job], done: queue.Queue
    ) -> dict[Any, int]:
        """As `_submit`, in place of the `pending` futures: Dask does not see that workers which
        were admitted later can run them."""
        self.client.cancel([*pending, *self.parts.values()], force=True)
        self.parts.clear()
        return self._submit(list(pending.values()), jobs, done)

    def _submit(
        self, indices: Sequence[int], jobs: Sequence[Job], done: queue.Queue
    ) -> dict[Any, int]:
        """Submit the `jobs` at `indices`; returns the index by future.

        Each future is put into `done` as it ends.
        """
        parts = Parts()
        packed = [pack(jobs[index], parts) for index in indices]
        # Those of the last call stay: V and M are in every one
        self.parts = {
            name: self.parts.get(name)
            or self.client.submit(
                self.keep, part, key=f"worldmodels-part-{unique()}", resources={self.room: 1}
            )
            for name, part in parts.content.items()
        }
        futures = [
            self.client.submit(
                self.run_packed,
                body,
                {name: self.parts[name] for name in names},
                key=f"worldmodels-job-{unique()}",
                resources={self.slot: 1},
            )
            for body, names in packed
        ]
        for future in futures:
            future.add_done_callback(done.put)
        return dict(zip(futures, indices))

    def _result(self, future: Any, job: Job) -> Any:
        """The result of a future that has ended.

        Raises what the job raised, UserError if it takes its workers with it, LostError if the
        scheduler was lost.
        """
        if future.status == "error":
            error = future.exception()
            if isinstance(error, distributed.scheduler.KilledWorker):
                raise workers_died(job, error.allowed_failures + 1)
            raise error
        try:
            if future.status == "finished":
                return pickle.loads(future.result(timeout=wait_limit()))
            reason = future.status
        except (distributed.CancelledError, TimeoutError, OSError) as error:
            reason = str(error)
        raise LostError(f"lost the scheduler at {self.address} ({reason})")

    def _refusal(self, event: tuple[float, Any]) -> None:
        """Tell of a worker that the gate has refused, once."""
        said = event[1]
        at, reasons = said["address"], said["reasons"]
        if said["slot"] == self.slot and at not in self.refused:
            self.refused[at] = reasons
            say(f"worker {at} on {said['host']} is refused: {'; '.join(reasons)}")


def _next(done: queue.Queue) -> Any:
    """The next future that ends; None if none does for a while."""
    try:
        return done.get(timeout=POLL)
    except queue.Empty:
        return None


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


def workers_died(job: Job, times: int) -> UserError:
    """The error to raise where workers have died `times` in a row, with `job` among theirs."""
    return UserError(
        f"{job}: the workers that ran it died, {times} times in a row: if their memory is short, "
        "give them more or start fewer; their logs may say more. Nothing that a checkpoint holds "
        "is lost"
    )


def unique() -> str:
    """A name that no other process gives."""
    return uuid.uuid4().hex
