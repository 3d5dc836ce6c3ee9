"""Draw the figures of a round from its numbers, with the paper's for comparison.

results/ROUND: curves, returns and metrics -> results/ROUND/figures
Seconds.
Paper: figure 5 (learning curve).
"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from worldmodels.pipeline import stage
from worldmodels.pipeline.params import Part, Place
from worldmodels.reports import paper
from worldmodels.reports.curves import validations
from worldmodels.reports.plotting import save_figure, save_plot
from worldmodels.reports.results import Columns, read_columns, read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


HONEST_AFTER = (16, 32, 64)  # steps, of which the curve of a dream tells
DREAM_SIZE = (9, 6.4)  # inches


class Round(Part):
    learned_in: Place


class Params(Part):
    round: Round


def plot_controller(axes: "Axes", curve: Columns, validated: np.ndarray) -> None:
    """Plot the returns of C in training, with their spread, and on validation tracks, `validated`
    [n, 2] (see `validations`); on the logarithmic axis, all but that before the first step."""
    x, mean, std = curve["env_steps"] / 1e6, curve["return_mean"], curve["return_std"]
    axes.fill_between(
        x, mean - std, mean + std, alpha=0.2, label="candidates, or episodes with noise, +- std"
    )
    axes.plot(x, mean, lw=1)
    after = validated[validated[:, 0] > 0]
    axes.plot(after[:, 0] / 1e6, after[:, 1], "o-", ms=3, label="C on validation tracks")
    steps = np.array(list(paper.RETURNS)) / max(paper.RETURNS) * paper.ENV_STEPS / 1e6
    returns = list(paper.RETURNS.values())
    axes.plot(steps, returns, "s-", ms=3, color="0.4", label="paper: mean on test tracks")
    axes.axhline(paper.MEAN, ls="--", color="0.4", label=f"paper: {paper.MEAN}")
    axes.set(
        xlabel="million environment steps of this round's training", ylabel="return", title="C"
    )
    axes.set_xscale("log")
    axes.legend(loc="lower right")


def plot_dream(figure: "Figure", curve: Columns, validated: np.ndarray) -> None:
    """Plot C's returns on the real track, `validated` [n, 2] (see `validations`), as it learns in
    the dream, and how honest the dream is: what followed moments that M was not trained on, and
    what it dreams there, with the actions that were taken and with C's own."""
    (top_left, top_right), (bottom_left, bottom_right) = figure.subplots(2, 2)
    steps = curve["env_steps"] / 1000
    top_left.plot(validated[:, 0] / 1000, validated[:, 1], "o-", ms=3, label="validation tracks")
    top_left.axhline(paper.MEAN, ls="--", color="0.4", label=f"paper: {paper.MEAN}")
    top_left.set(ylabel="return", title="C on the real track")
    top_right.plot(steps, curve["dreamt_reward"], label="C in the dream, costs included")
    top_right.plot(steps, curve["real_reward"], label="C and explorer, recorded")
    top_right.set(ylabel="points per step", title="Rewards")
    for after, colour in zip(HONEST_AFTER, ("tab:blue", "tab:orange", "tab:green")):
        for axes, kind in ((bottom_left, "reward"), (bottom_right, "lost")):
            axes.plot(steps, curve[f"taken_{kind}_{after}"], "--", color=colour)
            label = f"{after} steps on"
            axes.plot(steps, curve[f"dreamt_{kind}_{after}"], color=colour, label=label)
            axes.plot(steps, curve[f"own_{kind}_{after}"], ":", color=colour)
    bottom_left.set(ylabel="points per step", title="Recorded (dashed), same actions, C (dotted)")
    bottom_right.set(ylabel="share of cars lost", title="The same for losses")
    for axes in (top_left, top_right, bottom_left, bottom_right):
        axes.set_xlabel("thousand real steps recorded")
        axes.legend(fontsize=7)


def plot_returns(axes: "Axes", returns: np.ndarray, metrics: dict[str, float]) -> None:
    """Plot a histogram of the returns on the test tracks, with our mean and the paper's."""
    axes.hist(returns, bins=list(range(min(0, int(returns.min() // 25) * 25), 1001, 25)))
    axes.axvline(metrics["mean"], color="tab:red", label=f"ours: {metrics['mean']:.0f}")
    label = f"paper: {paper.MEAN} +- {paper.STD}"
    axes.axvline(paper.MEAN, ls="--", color="0.4", label=label)
    axes.set(xlabel="return", ylabel="test tracks", title=f"{len(returns)} test tracks")
    axes.legend(loc="upper left")


def main(name: str, params: Params) -> None:
    results = Path("results") / name
    figures = results / "figures"
    curve, columns = results / "train_controller/curve.csv", ["env_steps"]
    validated = validations(results / "train_controller")
    scores = read_metrics(results / "evaluate/metrics.json", "mean")
    returns = read_columns(results / "evaluate/returns.csv", "return")["return"]
    if params.round.learned_in == "dream":
        columns += ["real_reward", "dreamt_reward"]
        sources, kinds = ("taken", "dreamt", "own"), ("reward", "lost")
        honest = [f"{source}_{kind}" for kind in kinds for source in sources]
        columns += [f"{name}_{after}" for name in honest for after in HONEST_AFTER]
        learnt = read_columns(curve, *columns)
        draw = partial(plot_dream, curve=learnt, validated=validated)
        save_figure(figures / "controller.png", DREAM_SIZE, draw)
    else:
        learnt = read_columns(curve, *columns, "return_mean", "return_std")
        save_plot(figures / "controller.png", plot_controller, learnt, validated)
    save_plot(figures / "returns.png", plot_returns, returns, scores)


if __name__ == "__main__":
    stage.run("figures", Params, main)
