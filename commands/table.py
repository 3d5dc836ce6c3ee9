"""Print the results of every round, compared with the paper's, as a table in Markdown."""

import sys
from pathlib import Path

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
TRAINING = ("sample", "train_vae", "encode", "train_mdnrnn", "train_controller")


def row(up_to: list[str], metrics: dict[str, float], runs: list[dict[str, str]]) -> str:
    """The row of the last of the rounds `up_to`: its score on test tracks, and the minutes of
    training of all these rounds."""
    stages = [r for r in runs if r["round"] in up_to and r["stage"] in TRAINING]
    minutes = sum(float(run["seconds"]) for run in stages) / 60
    hardware = ", ".join(sorted({f"{run['processor']}, {run['cores']} cores" for run in stages}))
    interval = f"{metrics['ci_low']:.0f} to {metrics['ci_high']:.0f}"
    return (
        f"| ours, round {up_to[-1]} | {metrics['mean']:.0f} | {interval} | {metrics['std']:.0f} "
        f"| {metrics['min']:.0f} | {metrics['episodes']:.0f} | {minutes:.0f} | {hardware} |"
    )


def table(results: Path, runs: list[dict[str, str]]) -> str:
    """The table of all rounds that have been evaluated, and of the paper."""
    rounds = list(read_params()["rounds"])
    paths = {name: results / name / "evaluate" / "metrics.json" for name in rounds}
    rows = [
        row(rounds[: index + 1], read_metrics(paths[name], *SCORES), runs)
        for index, name in enumerate(rounds)
        if paths[name].exists()
    ]
    return "\n".join([HEADER, "|---" * 8 + "|", *rows, *PAPER])


if __name__ == "__main__":
    try:
        print(table(Path("results"), read_csv(RUNS) if RUNS.exists() else []))
    except UserError as error:
        sys.exit(str(error))
