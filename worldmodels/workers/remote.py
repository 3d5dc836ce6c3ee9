"""What runs at the other end: the gate that a Dask worker passes, and the jobs that it is given.

This module travels by value. A scheduler needs no copy of worldmodels, and a worker that has none
can say so.
"""

import asyncio
import pickle
import socket
from typing import Any

from distributed import Worker, WorkerPlugin

TOPIC = "worldmodels"  # of the events that tell the client of refusals


class Gate(WorkerPlugin):
    """Lets a worker take jobs if it has the `wanted` identity, pickled; else says why not.

    The jobs ask for a resource named `slot`, of which an admitted worker has one, so that it runs
    one at a time; their parts for one named `room`.
    """

    def __init__(self, wanted: bytes, slot: str, room: str):
        self.wanted, self.slot, self.room = wanted, slot, room

    async def setup(self, worker: Worker) -> None:
        """Compare identities, which may take a minute, and admit or refuse."""
        reasons = await asyncio.to_thread(self.reasons)
        if not reasons:
            await worker.set_resources(**{self.slot: 1, self.room: 1_000_000})
        else:
            where = {"address": worker.address, "host": socket.gethostname()}
            said = {"slot": self.slot, **where, "reasons": reasons}
            worker.log_event(TOPIC, said)

    def reasons(self) -> list[str]:
        """Why this worker is refused; empty if it is not."""
        try:
            from worldmodels.workers.admission import identity

            wanted: Any = pickle.loads(self.wanted)
            return wanted.differences(identity())
        except ImportError as error:
            return [f"{error}: start the workers in a copy of this repository, with its packages"]
        except Exception as error:  # whatever another version of the code raises
            return [f"it cannot be compared with this machine: {type(error).__name__}: {error}"]


def keep(part: bytes) -> bytes:
    """The part itself, as a result that Dask hands from worker to worker."""
    return part


def run_packed(body: bytes, parts: dict[str, bytes]) -> bytes:
    """Run a packed job; its result, pickled."""
    from worldmodels.runtime.cores import one_thread
    from worldmodels.workers.packing import unpack

    with one_thread():
        return pickle.dumps(unpack(body, parts).run(), protocol=5)
