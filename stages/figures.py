"""Draw the figures of a round from its numbers, with the paper's for comparison.

results/ROUND: curves, returns and metrics -> results/ROUND/figures
Seconds.
Paper: figure 5 (learning curve).
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from worldmodels.pipeline import stage
from worldmodels.pipeline.params import Part
from worldmodels.reports import paper
from worldmodels.reports.plotting import save_figure
from worldmodels.reports.results import read_columns, read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Columns = dict[str, np.ndarray]
SIZE = (6, 3.6)  # inches


class Params(Part):
    """This stage reads no param."""


def plot_speeds(axes: "Axes", speeds: Columns) -> None:
    """Plot the distribution of the speed in the recorded frames, by where the car is."""
    total = sum(speeds[name].sum() for name in ("on_road", "on_edge", "on_grass"))
    bottom = np.zeros(len(speeds["on_road"]))
    for name, colour in (("on_road", "0.4"), ("on_edge", "tab:red"), ("on_grass", "tab:green")):
        share = speeds[name] / total
        label = name.replace("_", " the ")
        axes.bar(speeds["speed_m_per_s"] + 2.5, share, 5, bottom, color=colour, label=label)
        bottom += share
    axes.set(xlabel="speed (m/s)", ylabel="share of the frames", title="Recorded frames")
    axes.legend()


def plot_vae(axes: "Axes", curve: Columns) -> None:
    """Plot squared error and KL of V on held-out episodes, from 0 up to the largest."""
    axes.plot(curve["frames"], curve["val_squared_error"], label="squared error per image")
    axes.plot(curve["frames"], curve["val_kl"], label="KL per image (nats)")
    axes.set(xlabel="frames", ylabel="on held-out episodes", title="V")
    axes.set_ylim(bottom=0)
    axes.legend()


def plot_mdnrnn(axes: "Axes", curve: Columns, metrics: dict[str, float]) -> None:
    """Plot the negative log-likelihood of M, compared with its baselines."""
    axes.plot(curve["steps"], curve["val_nll"], label="M")
    axes.axhline(metrics["baseline_same_nll"], ls="--", color="0.4", label="z does not change")
    axes.axhline(metrics["baseline_gaussian_nll"], ls=":", color="0.4", label="one Gaussian")
    axes.set(xlabel="steps", ylabel="NLL per latent (nats)", title="M, held-out episodes")
    axes.legend()


def plot_controller(axes: "Axes", curve: Columns) -> None:
    """Plot the returns of C in training, with their spread, and on validation tracks."""
    x, mean, std = curve["env_steps"] / 1e6, curve["return_mean"], curve["return_std"]
    axes.fill_between(
        x, mean - std, mean + std, alpha=0.2, label="candidates, or episodes with noise, +- std"
    )
    axes.plot(x, mean, lw=1)
    seen = ~np.isnan(curve["validation"])
    axes.plot(x[seen], curve["validation"][seen], "o-", ms=3, label="C on validation tracks")
    steps = np.array(list(paper.RETURNS)) / max(paper.RETURNS) * paper.ENV_STEPS / 1e6
    returns = list(paper.RETURNS.values())
    axes.plot(steps, returns, "s-", ms=3, color="0.4", label="paper: mean on test tracks")
    axes.axhline(paper.MEAN, ls="--", color="0.4", label=f"paper: {paper.MEAN}")
    axes.set(
        xlabel="million environment steps of this round's training", ylabel="return", title="C"
    )
    axes.set_xscale("log")
    axes.legend(loc="lower right")


def plot_returns(axes: "Axes", returns: np.ndarray, metrics: dict[str, float]) -> None:
    """Plot a histogram of the returns on the test tracks, with our mean and the paper's."""
    axes.hist(returns, bins=list(range(min(0, int(returns.min() // 25) * 25), 1001, 25)))
    axes.axvline(metrics["mean"], color="tab:red", label=f"ours: {metrics['mean']:.0f}")
    label = f"paper: {paper.MEAN} +- {paper.STD}"
    axes.axvline(paper.MEAN, ls="--", color="0.4", label=label)
    axes.set(xlabel="return", ylabel="test tracks", title=f"{len(returns)} test tracks")
    axes.legend(loc="upper left")


def save(path: Path, plot: Callable[..., None], *data: Any) -> None:
    """Write a figure with one pair of axes, on which `plot` draws `data`."""
    save_figure(path, SIZE, lambda figure: plot(figure.subplots(), *data))


def main(name: str, params: Params) -> None:
    results = Path("results") / name
    figures = results / "figures"
    speeds = read_columns(
        results / "sample/speeds.csv", "speed_m_per_s", "on_road", "on_edge", "on_grass"
    )
    vae = read_columns(results / "train_vae/curve.csv", "frames", "val_squared_error", "val_kl")
    mdnrnn = read_columns(results / "train_mdnrnn/curve.csv", "steps", "val_nll")
    controller = read_columns(
        results / "train_controller/curve.csv",
        "env_steps",
        "return_mean",
        "return_std",
        "validation",
    )
    names = ("baseline_same_nll", "baseline_gaussian_nll")
    baselines = read_metrics(results / "train_mdnrnn/metrics.json", *names)
    scores = read_metrics(results / "evaluate/metrics.json", "mean")
    returns = read_columns(results / "evaluate/returns.csv", "return")["return"]
    save(figures / "record.png", plot_speeds, speeds)
    save(figures / "vae.png", plot_vae, vae)
    save(figures / "mdnrnn.png", plot_mdnrnn, mdnrnn, baselines)
    save(figures / "controller.png", plot_controller, controller)
    save(figures / "returns.png", plot_returns, returns, scores)


if __name__ == "__main__":
    stage.run("figures", Params, main)
