"""Jobs that tell who runs them, and jobs that have trouble."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Work:
    """Notes its process in a file of `folder`, takes `seconds`, and doubles its number."""

    number: int
    folder: Path
    seconds: float = 0.0

    def __str__(self):
        return f"episode {self.number}"

    def run(self):
        (self.folder / f"ran-{self.number}-{os.getpid()}-{time.monotonic_ns()}").touch()
        time.sleep(self.seconds)
        return 2 * self.number


@dataclass(frozen=True)
class Sum:
    """Sums a large array, and then spoils its copy of it."""

    number: int
    array: np.ndarray

    def run(self):
        total = float(self.array.sum()) + self.number
        self.array[:] = 0
        return total


class Fail(Work):
    def run(self):
        raise ValueError(f"{self} is broken")


class Read(Work):
    def run(self):
        return (self.folder / "no-such-file").read_bytes()


class Kill(Work):
    """Ends its worker as the system does, or Dask's nanny, when memory is short."""

    def run(self):
        super().run()
        os.kill(os.getpid(), signal.SIGKILL)
