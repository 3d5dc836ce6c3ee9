"""What happens to a cluster while jobs run on it: who left, and how long to wait for others."""

import sys
import time
from typing import NamedTuple, Protocol

from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.machine import number_from_environment
from worldmodels.workers.processes import HANGS_AFTER

WAIT = 600.0  # seconds to wait for a scheduler or workers that are gone, unless WM_CLUSTER_WAIT


class LostError(Exception):
    """The scheduler is gone, or hangs, with all that it knew of jobs that had not ended."""


class Workers(NamedTuple):
    """The addresses of the admitted workers: of those that take jobs, and of those that Dask has
    paused, since their memory is full. A paused one finishes what it runs."""

    running: set[str]
    paused: set[str]


class Cluster(Protocol):
    """What is watched: its address, its workers, and why others were refused."""

    address: str
    refused: dict[str, list[str]]

    def workers(self) -> Workers:
        """The admitted workers. Raises LostError."""
        ...


class Watch:
    """Looks at a cluster while jobs run on it."""

    def __init__(self, cluster: Cluster):
        self.cluster = cluster
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
        cluster, now = self.cluster, time.monotonic()
        running, paused = cluster.workers()
        here = running | paused
        others = bool(running) and not (here & self.known)
        for left in sorted(self.known - here):
            say(f"worker {left} is gone; what it ran runs on another")
        self.known = here
        if running:
            self.empty_since = None
            if now - self.last_end > self.hangs_after:
                raise LostError(f"no worker finished anything in {self.hangs_after:.0f} s")
            return others
        self.last_end = now  # nobody hangs
        if self.empty_since is None:
            self.empty_since = now
            say(f"no workers at {cluster.address}; waiting up to {wait_limit():.0f} s")
        elif now - self.empty_since > wait_limit():
            told = [f"{at} was refused: {'; '.join(w)}" for at, w in list(cluster.refused.items())]
            told += [f"{at} is paused: its memory is full" for at in sorted(paused)]
            raise UserError(
                f"the scheduler at {cluster.address} had no workers for {wait_limit():.0f} s"
                f"{''.join(f'; {reason}' for reason in told)}. Nothing that a checkpoint holds is "
                "lost: start some and run the same again, or set WM_CLUSTER_WAIT to more seconds"
            )
        return False


def wait_limit() -> float:
    """Seconds to wait for what is gone."""
    return number_from_environment("WM_CLUSTER_WAIT", WAIT)


def say(message: str) -> None:
    """Tell the user, between the lines of the progress bar."""
    print(f"cluster: {message}", file=sys.stderr, flush=True)
