"""A real scheduler and real workers on loopback, one process each."""

import os
import signal
import subprocess
import time
from collections.abc import Callable

import pytest

from benchmarks.loopback import Loopback
from worldmodels.workers import cluster, watch


@pytest.fixture
def local(tmp_path, monkeypatch):
    """A cluster whose scheduler runs, without workers, and which WM_CLUSTER names."""
    started = Loopback(tmp_path)
    started.start_scheduler()
    monkeypatch.setenv("WM_CLUSTER", started.address)
    yield started
    for connection in list(cluster._connections.values()):
        connection.close()
    cluster._connections.clear()
    started.stop()


@pytest.fixture
def said(monkeypatch) -> Callable[[], str]:
    """`said()`: all lines for the user since the test began.

    capfd would lose what another thread writes between its reading and its emptying.
    """
    lines: list[str] = []
    monkeypatch.setattr(watch, "print", lambda line, **_: lines.append(line), raising=False)
    return lambda: "\n".join(lines)


def until(true: Callable[[], bool], seconds: float = 240) -> None:
    """Wait until `true()`; fails after `seconds`."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def until_admitted(local: Loopback, count: int) -> None:
    """Wait until `count` workers take jobs. `workers_at_hand` says 1 even of none."""
    until(lambda: cluster.cluster_size(local.address) == count)


def kill(process: subprocess.Popen) -> None:
    """SIGKILL, and wait until it is gone."""
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
