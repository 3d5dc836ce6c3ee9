"""Print the results of every round beside the paper's, as a table in Markdown."""

import sys
from pathlib import Path
from typing import Any

from worldmodels.errors import UserError
from worldmodels.stage import COSTS
from worldmodels.storage import read_csv, read_json

HEADER = "| | mean | 95 % | std | worst | tracks | minutes | hardware |"
PAPER = "| paper: V + M + C | 906 | | 21 | | 100 | 67,100 | 64 cores |"
PAPER_V = "| paper: V + C | 632 | | 251 | | 100 | | |"


def row(round_name: str, metrics: dict[str, Any], costs: list[dict[str, str]]) -> str:
    """One round: score on the test tracks, and minutes of its stages but the evaluation."""
    stages = [c for c in costs if c["round"] == round_name and c["stage"] != "evaluate"]
    minutes = sum(float(cost["seconds"]) for cost in stages) / 60
    hardware = ", ".join(sorted({cost["processor"] for cost in stages}))
    interval = f"{metrics['ci_low']:.0f} to {metrics['ci_high']:.0f}"
    return (
        f"| ours: round {round_name} | {metrics['mean']:.0f} | {interval} | {metrics['std']:.0f} "
        f"| {metrics['min']:.0f} | {metrics['episodes']} | {minutes:.0f} | {hardware} |"
    )


def table(results: Path, costs: list[dict[str, str]]) -> str:
    """The table of all rounds that have been evaluated."""
    rows = [
        row(path.parts[-3], read_json(path), costs)
        for path in sorted(results.glob("*/evaluate/metrics.json"))
    ]
    return "\n".join([HEADER, "|---" * 8 + "|", *rows, PAPER, PAPER_V])


if __name__ == "__main__":
    try:
        print(table(Path("results"), read_csv(COSTS) if COSTS.exists() else []))
    except UserError as error:
        sys.exit(str(error))
