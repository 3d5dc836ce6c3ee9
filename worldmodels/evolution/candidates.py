"""Drive the candidates of a generation side by side, on all workers."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from worldmodels.agent.agent import Agent
from worldmodels.control.search_space import SearchSpace
from worldmodels.driving.episodes import Outcome
from worldmodels.driving.jobs import CARS, drive_agent
from worldmodels.runtime.parallel import deal, run_chunks, worker_count

JOBS_A_CHUNK = CARS  # at most: what is lost when the process is stopped


@dataclass(frozen=True)
class Arena:
    """An agent whose controllers are points of a search space; `horizon`, `patience` in steps."""

    agent: Agent
    space: SearchSpace
    horizon: int
    patience: int
    seed: int
    device: str

    def drive(
        self,
        points: np.ndarray,
        jobs: list[tuple[int, int]],
        outcomes: dict[int, Outcome],
        on_done: Callable[[], None] = lambda: None,
    ) -> list[Outcome]:
        """Drive (row of `points` [C, D], track) pairs; returns their outcomes in order.

        `outcomes`, by number of the job, holds those that are there already and takes in the
        others; `on_done` is called as they come.
        """
        agent = self.agent.with_candidates(self.space.unfold(points))
        left = [job for job in range(len(jobs)) if job not in outcomes]
        workers = worker_count()
        hands = [
            [left[i] for i in hand]
            for hand in deal(left, workers * -(-len(left) // (workers * JOBS_A_CHUNK)))
        ]
        settings = ("drawn", self.horizon, self.patience, self.seed, self.device)

        def take_in(index: int, results: list[Outcome]) -> None:
            outcomes.update(zip(hands[index], results))
            on_done()

        chunks = [(agent, [jobs[i] for i in hand], *settings) for hand in hands]
        run_chunks(drive_agent, chunks, _describe, take_in)
        return [outcomes[job] for job in range(len(jobs))]


def _describe(chunk: tuple) -> str:
    return f"{len(chunk[1])} episodes of (candidate, track) {chunk[1][0]} to {chunk[1][-1]}"
