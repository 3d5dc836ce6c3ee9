"""Print the results of every round, compared with the paper's, as a table in Markdown."""

import re
import sys
from pathlib import Path
from typing import Any

from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.params import read_params
from worldmodels.pipeline.provenance import RUNS
from worldmodels.pipeline.storage import read_csv
from worldmodels.reports import paper
from worldmodels.reports.results import read_metrics

HEADER = "| | mean | 95 % | std | worst | tracks | minutes | hardware |"
PAPER = [
    f"| paper: V + M + C | {paper.MEAN} | | {paper.STD} | | {paper.TRACKS} "
    f"| {paper.MINUTES:,} | {paper.HARDWARE} |",
    f"| paper: V + C with a hidden layer | {paper.HIDDEN_MEAN} | | {paper.HIDDEN_STD} | "
    f"| {paper.TRACKS} | | |",
    f"| paper: V + C | {paper.V_MEAN} | | {paper.V_STD} | | {paper.TRACKS} | | |",
]
SCORES = ("mean", "ci_low", "ci_high", "std", "min", "episodes")
OF_A_WORLD = ("sample", "train_vae", "encode", "train_mdnrnn")
TRAINERS = {"ppo": "PPO", "evolution": "evolution"}
PLACES = {"real": "on the track", "dream": "in the dream"}
AGENT = re.compile(r"models/([^/]+)/agent\.safetensors")

Tree = dict[str, Any]


def training_of(name: str, params: Tree) -> list[tuple[str, str]]:
    """The stages, and their worlds or rounds, whose work led to the agent of a round: its own, and
    those of the round whose agent drove for its world."""
    world = params["rounds"][name]["world"]
    driver = AGENT.fullmatch(params["worlds"][world]["policy"])
    before = training_of(driver[1], params) if driver else []
    return [*before, *((stage, world) for stage in OF_A_WORLD), ("train_controller", name)]


def row(name: str, params: Tree, metrics: dict[str, float], runs: list[dict[str, str]]) -> str:
    """The row of a round: its score on test tracks, and the minutes of all training behind it."""
    entry, behind = params["rounds"][name], training_of(name, params)
    stages = [run for run in runs if (run["stage"], run["round"]) in behind]
    minutes = sum(float(run["seconds"]) for run in stages) / 60
    hardware = ", ".join(sorted({f"{run['processor']}, {run['cores']} cores" for run in stages}))
    interval = f"{metrics['ci_low']:.0f} to {metrics['ci_high']:.0f}"
    how = f"{TRAINERS[entry['trainer']]} {PLACES[entry['learned_in']]}"
    return (
        f"| ours, round {name}: {how} | {metrics['mean']:.0f} | {interval} | {metrics['std']:.0f} "
        f"| {metrics['min']:.0f} | {metrics['episodes']:.0f} | {minutes:.0f} | {hardware} |"
    )


def table(results: Path, runs: list[dict[str, str]]) -> str:
    """The table of all rounds that have been evaluated, and of the paper."""
    params = read_params()
    paths = {name: results / name / "evaluate" / "metrics.json" for name in params["rounds"]}
    rows = [
        row(name, params, read_metrics(path, *SCORES), runs)
        for name, path in paths.items()
        if path.exists()
    ]
    return "\n".join([HEADER, "|---" * 8 + "|", *rows, *PAPER])


if __name__ == "__main__":
    try:
        print(table(Path("results"), read_csv(RUNS) if RUNS.exists() else []))
    except UserError as error:
        sys.exit(str(error))
