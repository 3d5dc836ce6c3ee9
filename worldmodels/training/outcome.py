"""The outcome of training C, and the files it is written to."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from worldmodels.control.search_space import SearchSpace
from worldmodels.pipeline.storage import write_csv, write_json
from worldmodels.training.curve import Row
from worldmodels.training.setup import TrainingSetup


class Outcome(NamedTuple):
    """A trained C, `point` [D] of `space`; the rest as in `SearchState` and `PPOState`."""

    space: SearchSpace
    point: np.ndarray
    env_steps: int
    rows: list[Row]
    seconds: list[dict[str, float]]


def write_outcome(name: str, setup: TrainingSetup, outcome: Outcome) -> None:
    """Write the agent, the curve, the seconds and the metrics of the round `name`.

    The agent is the one with which training ended, not the best on the way, whose validation would
    be too high; it is validated once more here.
    """
    space, point = outcome.space, outcome.point
    candidates = setup.candidates(space)
    scores = candidates.validate(point, setup.params.controller.validation_tracks)
    agent = setup.agent.with_candidates(space.unfold(point[None]))
    agent.save(Path("models") / name / "agent.safetensors")
    results = Path("results") / name / "train_controller"
    write_csv(results / "curve.csv", outcome.rows)
    write_csv(results / "seconds.csv", outcome.seconds)  # no output of DVC: time does not repeat
    metrics = {
        "validation_mean": float(scores.mean()),
        "validation_std": float(scores.std(ddof=1)) if len(scores) > 1 else 0.0,
        "validation_tracks": len(scores),
        "iterations": len(outcome.rows),
        "env_steps": outcome.env_steps,
        "trained_parameters": space.dimensions,
        "controller_parameters": agent.parameters.shape[1],
    }
    write_json(results / "metrics.json", metrics)
