"""The outcome of training C, and the files it is written to."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from worldmodels.control.search_space import SearchSpace
from worldmodels.pipeline.storage import write_bytes, write_csv, write_json
from worldmodels.training.curve import Row
from worldmodels.training.setup import TrainingSetup

NOTHING_KEPT = b"The C of this round learned on the real track. Nothing was recorded or dreamt.\n"


def note_nothing_kept(folder: Path) -> None:
    """Say in `folder` that practice left nothing to keep."""
    write_bytes(folder / "README.txt", NOTHING_KEPT)


class Outcome(NamedTuple):
    """A trained C, `point` [D] of `space`; the rest as in `SearchState` and `PPOState`.

    `save_practice` writes to a folder what practice leaves behind: of a dream, the record and the
    M that dreamt.
    """

    space: SearchSpace
    point: np.ndarray
    env_steps: int
    rows: list[Row]
    seconds: list[dict[str, float]]
    save_practice: Callable[[Path], None] = note_nothing_kept


def write_outcome(name: str, setup: TrainingSetup, outcome: Outcome) -> None:
    """Write the agent, what practice left, the curve, the seconds and the metrics of the round.

    The agent is the one with which training ended, not the best on the way, whose validation would
    be too high; it is validated once more here.
    """
    space, point = outcome.space, outcome.point
    candidates = setup.candidates(space)
    scores = candidates.validate(point, setup.params.controller.validation_tracks)
    agent = setup.agent.with_candidates(space.unfold(point[None]))
    agent.save(Path("models") / name / "agent.safetensors")
    outcome.save_practice(Path("data") / name / "practice")
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
