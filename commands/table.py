"""Print the results of every round, compared with the paper's, as a table in Markdown."""

import argparse
from pathlib import Path

from worldmodels.pipeline.errors import user_errors
from worldmodels.pipeline.params import read_params
from worldmodels.pipeline.provenance import RUNS
from worldmodels.pipeline.storage import read_csv
from worldmodels.reports import paper
from worldmodels.reports.lineage import Tree, agent_in_words, how_trained, is_code, training_of
from worldmodels.reports.results import read_metrics

HEADER = (
    "| | mean | 95 % | std | worst | tracks | steps recorded | steps trained on | minutes "
    "| hardware |"
)
PAPER = [
    f"| paper: V + M + C | {paper.MEAN} | | {paper.STD} | | {paper.TRACKS} "
    f"| {paper.RECORDED_STEPS:,.0f} | {paper.ENV_STEPS:,.0f} "
    f"| {paper.MINUTES:,} | {paper.HARDWARE} |",
    f"| paper: V + C with a hidden layer | {paper.HIDDEN_MEAN} | | {paper.HIDDEN_STD} | "
    f"| {paper.TRACKS} | | | | |",
    f"| paper: V + C | {paper.V_MEAN} | | {paper.V_STD} | | {paper.TRACKS} | | | | |",
]
SCORES = ("mean", "ci_low", "ci_high", "std", "min", "episodes")
STEPS = ("recorded_steps", "trained_steps")


def begun_from(start: str) -> str:
    """The agent with whose C training began, as part of a row; "" if with zeros."""
    return "" if is_code(start) else f", from {agent_in_words(start)}"


def plain(processor: str) -> str:
    """The name of a processor as people write it."""
    return processor.replace("(R)", "").replace(" Processor", "")


def row(
    name: str, params: Tree, metrics: dict[str, float], how: str, runs: list[dict[str, str]]
) -> str:
    """The row of a round: how C was trained, its score on test tracks, and the real steps of all
    that led to it; also the minutes and the hardware, unless one of its stages was not timed."""
    behind = training_of(name, params)
    stages = [run for run in runs if (run["stage"], run["round"]) in behind]
    minutes = f"{sum(float(run['seconds']) for run in stages) / 60:.0f}"
    hardware = "; ".join(
        sorted({f"{plain(run['processor'])}, {run['cores']} cores" for run in stages})
    )
    if len(stages) < len(behind):  # a stage has not been run here
        minutes = hardware = ""
    interval = f"{metrics['ci_low']:.0f} to {metrics['ci_high']:.0f}"
    how += begun_from(params["rounds"][name]["start"])
    return (
        f"| ours, round {name}: {how} | {metrics['mean']:.0f} | {interval} | {metrics['std']:.0f} "
        f"| {metrics['min']:.0f} | {metrics['episodes']:.0f} | {metrics['recorded_steps']:,.0f} "
        f"| {metrics['trained_steps']:,.0f} | {minutes} | {hardware} |"
    )


def table(results: Path, runs: list[dict[str, str]]) -> str:
    """The table of all rounds that have been evaluated, and of the paper."""
    params = read_params()
    paths = {name: results / name / "evaluate" / "metrics.json" for name in params["rounds"]}
    rows = [
        row(name, params, read_metrics(path, *SCORES, *STEPS), how_trained(path), runs)
        for name, path in paths.items()
        if path.exists()
    ]
    return "\n".join([HEADER, "|---" * 10 + "|", *rows, *PAPER])


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, prog="python -m commands.table").parse_args()
    with user_errors("table"):
        print(table(Path("results"), read_csv(RUNS) if RUNS.exists() else []))
