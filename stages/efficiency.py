"""Draw the returns of all rounds over the real steps behind them, next to what others report.

results/ROUND/train_controller of every round -> results/efficiency.png
Seconds.
Paper: none; its own curve is in the log of its code's search.
"""

from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from worldmodels.pipeline import stage
from worldmodels.pipeline.params import Part, read_params
from worldmodels.reports import others, paper
from worldmodels.reports.curves import validations
from worldmodels.reports.lineage import origin
from worldmodels.reports.plotting import save_plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RESULTS = Path("results")


class Params(Part):
    """None of its own: `lineage` says why."""


Curves = dict[str, np.ndarray]


def plot_returns(axes: "Axes", curves: Curves) -> None:
    """Plot the `curves` of the rounds, each [n, 2]: real steps, and the return of C on validation
    tracks; and the returns of others."""
    for name, curve in curves.items():
        axes.plot(curve[:, 0], curve[:, 1], "o-", ms=3, label=f"ours, round {name}")
    shares = np.array(list(paper.RETURNS)) / max(paper.RETURNS)
    steps = paper.RECORDED_STEPS + shares * paper.ENV_STEPS
    axes.plot(steps, list(paper.RETURNS.values()), "s-", ms=3, color="0.4", label="paper: CMA-ES")
    for reported, marker in zip(others.REPORTED, cycle("^vD")):
        axes.plot(
            reported.steps, reported.returns, marker, ms=4, color="0.4", label=reported.label
        )
    axes.axhline(paper.MEAN, ls="--", color="0.4", label=f"paper: {paper.MEAN}")
    axes.set_xscale("log")
    axes.set(xlabel="real steps, recorded or trained on, all earlier rounds included")
    axes.set(ylabel="return on validation tracks")
    axes.set_ylim(top=1000)
    axes.legend(loc="lower right", fontsize=7)


def main(params: Params) -> None:
    tree, curves = read_params(), {}
    for name in tree["rounds"]:
        folder = RESULTS / name / "train_controller"
        if folder.exists():  # trained
            behind = origin(name, tree, RESULTS)
            total = int(behind["recorded_steps"]) + int(behind["trained_steps"])
            curve = validations(folder)
            curves[name] = curve + np.array([total - curve[-1, 0], 0])
    save_plot(RESULTS / "efficiency.png", plot_returns, curves)


if __name__ == "__main__":
    stage.run_without_round("efficiency", Params, main)
