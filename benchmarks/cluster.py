"""A generation of the paper's search, in processes of this machine and on Dask workers."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.loopback import Loopback
from worldmodels.agent.agent import Agent
from worldmodels.control.search_space import raw_space
from worldmodels.driving.episodes import Drive
from worldmodels.driving.limits import Limits
from worldmodels.evolution.strategies import CMAES
from worldmodels.pipeline.errors import UserError
from worldmodels.runtime.seeds import tracks_for_training
from worldmodels.training.candidates import Candidates
from worldmodels.workers import cluster
from worldmodels.workers.packing import Parts, pack
from worldmodels.workers.run import run_jobs

CANDIDATES, TRACKS = 64, 16  # the paper's
SPREAD = 0.002  # of the candidates around the agent's C; all of them complete their laps
ADMISSION = 180.0  # seconds within which workers must pass the gate
JOBS = 100  # that do nothing, over which the overhead per job is averaged
DIMENSIONS = 867


@dataclass(frozen=True)
class Nothing:
    """A job that returns its number, and carries an agent."""

    number: int
    agent: Agent

    def run(self) -> int:
        return self.number


def measure(agent: Agent) -> dict[str, Any]:
    """Seconds per generation, and per job that does nothing, by where they run; and of what one
    process does alone: CMA-ES's ask and tell, and packing a job."""
    found: dict[str, Any] = {"generation_s": {}, "job_s": {}}
    steps = 0
    for name, place in (
        ("1 process", processes(1)),
        ("2 processes", processes(2)),
        ("2 Dask workers", dask_workers(2)),
    ):
        with place:
            jobs = [Nothing(number, agent) for number in range(JOBS)]
            run_jobs(jobs)  # the agent travels, and the processes start
            started = time.perf_counter()
            run_jobs(jobs)
            found["job_s"][name] = (time.perf_counter() - started) / JOBS
            started = time.perf_counter()
            steps = generation(agent)
            found["generation_s"][name] = time.perf_counter() - started
    return found | {"steps": steps, "serial_s": serial(agent)}


def generation(agent: Agent) -> int:
    """Drive all candidates of a generation on its tracks; the number of steps."""
    space = raw_space(agent.hidden_units, agent.config.features)
    rng = np.random.default_rng(1)
    points = agent.parameters + SPREAD * rng.normal(size=(CANDIDATES, agent.parameters.shape[1]))
    tracks = tracks_for_training(TRACKS, 1, ("benchmark",))
    drives = [Drive(row, track) for row in range(CANDIDATES) for track in tracks]
    candidates = Candidates(agent, space, Limits(1000, 100), seed=1, device="cpu")
    return sum(result.steps for result in candidates.drive(points, drives, {}))


def serial(agent: Agent) -> dict[str, float]:
    """Seconds of CMA-ES per generation, in the paper's 867 dimensions; and to pack a job."""
    strategy = CMAES(np.zeros(DIMENSIONS), 0.1, CANDIDATES, np.random.default_rng(1))
    started = time.perf_counter()
    for _ in range(5):
        population = strategy.ask()
        strategy.tell(population, population[:, 0])
    per_generation = (time.perf_counter() - started) / 5
    started = time.perf_counter()
    parts = Parts()
    for number in range(JOBS):
        pack(Nothing(number, agent), parts)
    return {"cma_es": per_generation, "pack": (time.perf_counter() - started) / JOBS}


@contextmanager
def processes(count: int) -> Iterator[None]:
    """Jobs run in `count` processes of this machine."""
    with setting("WM_CLUSTER", "local"), setting("WM_WORKERS", str(count)):
        yield


@contextmanager
def dask_workers(count: int) -> Iterator[None]:
    """Jobs run on `count` Dask workers on loopback."""
    with tempfile.TemporaryDirectory() as folder:
        loopback = Loopback(Path(folder))
        try:
            loopback.start_scheduler()
            for _ in range(count):
                loopback.start_worker()
            deadline = time.monotonic() + ADMISSION
            while (found := cluster.cluster_size(loopback.address)) < count:
                if time.monotonic() > deadline:
                    raise UserError(f"{found} of {count} Dask workers were admitted on loopback")
                time.sleep(0.5)
            with setting("WM_CLUSTER", loopback.address):
                yield
        finally:
            cluster.leave(loopback.address)
            loopback.stop()


@contextmanager
def setting(name: str, value: str) -> Iterator[None]:
    """An environment variable, for as long as the context lasts."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
