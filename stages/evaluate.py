"""Score the agent on Gymnasium's own CarRacing-v3, on test tracks no training has seen.

models/ROUND/agent.safetensors -> results/ROUND/evaluate
Two to three seconds per track on two cores: nearly all of it is Gymnasium's picture. Then more
tracks with our picture, a tenth of a second each, to show that it makes no difference.
Paper: section 3.3, table 1 (100 tracks).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import gymnasium
import numpy as np
from pydantic import Field

from worldmodels.agent.agent import Agent
from worldmodels.driving.episodes import Drive, EpisodeResult
from worldmodels.driving.jobs import ENVS_PER_WORKER, DriveJob
from worldmodels.driving.limits import Limits
from worldmodels.environment.make import Picture
from worldmodels.pipeline import stage
from worldmodels.pipeline.params import Count, Part, Section, Seed, read_params
from worldmodels.pipeline.storage import write_csv, write_json
from worldmodels.reports.lineage import origin
from worldmodels.reports.statistics import standard_error, summarise
from worldmodels.runtime import resumable
from worldmodels.runtime.checkpoint import Checkpoint
from worldmodels.runtime.progress import Progress
from worldmodels.runtime.seeds import TEST_TRACKS, generator, tracks_for_test
from worldmodels.workers.run import run_jobs, workers_at_hand

TRACKS_PER_JOB: dict[Picture, int] = {"official": 4, "drawn": ENVS_PER_WORKER}  # at most


class EvaluateConfig(Section):
    horizon: Annotated[int, Field(ge=1, le=1000)]  # CarRacing-v3 ends at 1,000 steps
    resamples: Count
    first_test_track: Annotated[int, Field(ge=0, lt=TEST_TRACKS // 2)]


class Round(Part):
    test_tracks: Annotated[int, Field(ge=1, le=TEST_TRACKS // 2)]
    drawn_tracks: Annotated[int, Field(ge=1, le=TEST_TRACKS // 2)]


class Params(Part):
    seed: Seed
    machine: stage.Device
    evaluate: EvaluateConfig
    round: Round


Scores = dict[Picture, dict[int, EpisodeResult]]  # by picture and track


def score(agent: Agent, params: Params, checkpoint: Checkpoint) -> Scores:
    """Drive every test track once with each picture, until the episode ends or to the horizon.

    The results are in the order of tracks, whichever job ended first: a mean's last bit depends
    on the order.
    """
    scores: Scores = checkpoint.resume() or {"official": {}, "drawn": {}}
    wanted = {"official": params.round.test_tracks, "drawn": params.round.drawn_tracks}
    for picture, results in scores.items():
        drive(agent, picture, wanted[picture], params, results, lambda: checkpoint.save(scores))
    return {picture: dict(sorted(results.items())) for picture, results in scores.items()}


def drive(
    agent: Agent,
    picture: Picture,
    count: int,
    params: Params,
    results: dict[int, EpisodeResult],
    on_done: Callable[[], None],
) -> None:
    """Drive those of the first `count` test tracks that `results`, by track, lacks, and add them.

    `on_done` is called after each job.
    """
    tracks = tracks_for_test(count, params.evaluate.first_test_track)
    remaining = [Drive(0, track) for track in tracks if track not in results]
    limits = Limits(params.evaluate.horizon, patience=0)
    # At least as many jobs as workers, where there are as many tracks
    size = max(1, min(TRACKS_PER_JOB[picture], len(remaining) // workers_at_hand()))
    jobs = [
        DriveJob(
            agent=agent,
            drives=tuple(remaining[cut : cut + size]),
            picture=picture,
            limits=limits,
            seed=params.seed,
            device=params.machine.device,
        )
        for cut in range(0, len(remaining), size)
    ]
    title = f"evaluate, {picture} picture"
    with Progress(title, count, "tracks", count - len(remaining)) as progress:

        def add(_: int, found: list[EpisodeResult]) -> None:
            results.update((result.track, result) for result in found)
            progress.advance(len(found))
            on_done()

        run_jobs(jobs, add)


def compare_pictures(
    official: dict[int, EpisodeResult], drawn: dict[int, EpisodeResult]
) -> dict[str, float | int]:
    """The returns with our picture, and their differences, official minus drawn, on the tracks
    driven with both."""
    returns = np.array([result.score for result in drawn.values()])
    common = sorted(official.keys() & drawn.keys())
    differences = np.array([official[track].score - drawn[track].score for track in common])
    return {
        "drawn_mean": float(returns.mean()),
        "drawn_sem": standard_error(returns),
        "drawn_episodes": len(returns),
        "difference_mean": float(differences.mean()),
        "difference_sem": standard_error(differences),
        "difference_episodes": len(differences),
    }


def main(name: str, params: Params, checkpoint: Checkpoint) -> None:
    stage.prepare(params.machine.device)
    led_to_it = origin(name, read_params(), Path("results"))
    agent = Agent.load(Path("models") / name / "agent.safetensors")
    scores = score(agent, params, checkpoint)
    results = Path("results") / name / "evaluate"
    files: dict[Picture, str] = {"official": "returns.csv", "drawn": "drawn_returns.csv"}
    for picture, file in files.items():
        driven = scores[picture].values()
        rows = [{"track": r.track, "return": r.score, "steps": r.steps} for r in driven]
        write_csv(results / file, rows)
    official, drawn = scores["official"], scores["drawn"]
    returns = np.array([result.score for result in official.values()])
    computed_with = {
        "environment": "CarRacing-v3",
        "gymnasium": gymnasium.__version__,
        "horizon": params.evaluate.horizon,
        "first_track": min(official),
    }
    summary = summarise(
        returns, params.evaluate.resamples, generator(params.seed, "evaluate", "bootstrap")
    )
    scored = summary | compare_pictures(official, drawn) | computed_with
    write_json(results / "metrics.json", scored | led_to_it)


if __name__ == "__main__":
    resumable.run("evaluate", Params, main)
