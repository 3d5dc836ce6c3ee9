"""Score the agent on Gymnasium's own CarRacing-v3, on test tracks no training has seen.

models/ROUND/agent.safetensors -> results/ROUND/evaluate
Six seconds a track on two cores: nearly all of it is Gymnasium's picture.
Paper: section 4.1, table 1 (100 tracks).
"""

from pathlib import Path
from typing import Annotated

import gymnasium
import numpy as np
from pydantic import Field

from worldmodels import stage
from worldmodels.agent import Agent
from worldmodels.checkpoint import Checkpoint
from worldmodels.driving import Outcome
from worldmodels.params import Count, Part, Section, Seed
from worldmodels.progress import Progress
from worldmodels.rollout import drive_agent
from worldmodels.seeds import generator, tracks_for_test
from worldmodels.statistics import summarise
from worldmodels.storage import write_csv, write_json
from worldmodels.workers import run_chunks

TRACKS_A_CHUNK = 4


class EvaluateConfig(Section):
    tracks: Count
    horizon: Annotated[int, Field(ge=1, le=1000)]  # CarRacing-v3 ends at 1,000 steps


class Params(Part):
    seed: Seed
    machine: stage.Device
    evaluate: EvaluateConfig


def score(agent: Agent, params: Params, checkpoint: Checkpoint) -> list[Outcome]:
    """Drive every test track once, to its end or the horizon."""
    outcomes: dict[int, Outcome] = checkpoint.resume() or {}
    tracks = tracks_for_test(params.evaluate.tracks)
    left = [track for track in tracks if track not in outcomes]
    settings = ("official", params.evaluate.horizon, 0, params.seed, params.machine.device)
    cuts = range(0, len(left), TRACKS_A_CHUNK)
    parts = [[(0, track) for track in left[cut : cut + TRACKS_A_CHUNK]] for cut in cuts]
    with Progress("evaluate", len(tracks), "tracks", len(outcomes)) as progress:

        def take_in(_: int, results: list[Outcome]) -> None:
            outcomes.update((outcome.track, outcome) for outcome in results)
            progress.advance(len(results))
            checkpoint.save(outcomes)

        run_chunks(
            drive_agent,
            [(agent, part, *settings) for part in parts],
            lambda chunk: f"test tracks {chunk[1][0][1]} to {chunk[1][-1][1]}",
            take_in,
        )
    return [outcomes[track] for track in tracks]


def main(name: str, params: Params, checkpoint: Checkpoint) -> None:
    stage.prepare(params.machine.device)
    agent = Agent.load(Path("models") / name / "agent.safetensors")
    outcomes = score(agent, params, checkpoint)
    returns = np.array([outcome.score for outcome in outcomes])
    results = Path("results") / name / "evaluate"
    rows = [{"track": o.track, "return": o.score, "steps": o.steps} for o in outcomes]
    write_csv(results / "returns.csv", rows)
    computed_with = {
        "environment": "CarRacing-v3",
        "gymnasium": gymnasium.__version__,
        "horizon": params.evaluate.horizon,
        "first_track": outcomes[0].track,
    }
    summary = summarise(returns, generator(params.seed, "evaluate", "bootstrap"))
    write_json(results / "metrics.json", summary | computed_with)


if __name__ == "__main__":
    stage.run_long("evaluate", Params, main)
