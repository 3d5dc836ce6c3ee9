"""Drive candidates for C, points of a search space, on all workers."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from worldmodels.agent.agent import Agent
from worldmodels.control.search_space import SearchSpace
from worldmodels.driving.episodes import Drive, EpisodeResult
from worldmodels.driving.jobs import ENVS_PER_WORKER, DriveJob
from worldmodels.driving.limits import Limits
from worldmodels.runtime.seeds import tracks_for_validation
from worldmodels.workers.jobs import split_evenly
from worldmodels.workers.run import run_jobs, workers_at_hand

DRIVES_PER_JOB = ENVS_PER_WORKER  # at most; a stop loses the unfinished jobs


@dataclass(frozen=True)
class Candidates:
    """An agent whose controllers are points of `space`, and how they are driven."""

    agent: Agent
    space: SearchSpace
    limits: Limits
    seed: int
    device: str

    def drive(
        self,
        points: np.ndarray,
        drives: list[Drive],
        results: dict[int, EpisodeResult],
        on_done: Callable[[], None] = lambda: None,
    ) -> list[EpisodeResult]:
        """Drive `drives`, whose candidates are rows of `points` [C, D]; returns their results.

        `results`, by index of the drive, holds those known from an earlier process and receives
        the others; `on_done` is called after each job.
        """
        agent = self.agent.with_candidates(self.space.unfold(points))
        remaining = [index for index in range(len(drives)) if index not in results]
        # As many jobs as workers, or a multiple, so that all end at about the same time
        workers = workers_at_hand()
        waves = -(-len(remaining) // (workers * DRIVES_PER_JOB))
        parts = [[remaining[i] for i in part] for part in split_evenly(remaining, workers * waves)]

        def add(job: int, found: list[EpisodeResult]) -> None:
            results.update(zip(parts[job], found))
            on_done()

        jobs = [
            DriveJob(
                agent=agent,
                drives=tuple(drives[i] for i in part),
                picture="drawn",
                limits=self.limits,
                seed=self.seed,
                device=self.device,
            )
            for part in parts
        ]
        run_jobs(jobs, add)
        return [results[index] for index in range(len(drives))]

    def validate(self, point: np.ndarray, tracks: int) -> np.ndarray:
        """Returns [T] of a point [D] on the first `tracks` validation tracks."""
        drives = [Drive(0, track) for track in tracks_for_validation(tracks)]
        return np.array([result.score for result in self.drive(point[None], drives, {})])
