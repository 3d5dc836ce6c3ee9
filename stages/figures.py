"""Draw the figures of a round from its numbers, beside the paper's.

results/ROUND: curves, returns and metrics -> results/ROUND/figures
Seconds.
Paper: figure 5 (learning curve).
"""

import io
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from worldmodels.pipeline import stage
from worldmodels.pipeline.params import Part
from worldmodels.pipeline.storage import write_bytes
from worldmodels.reports import paper
from worldmodels.reports.results import read_columns, read_metrics


class Params(Part):
    """Reads no numbers of params.yaml."""


def plot_speeds(axes: Axes, speeds: dict[str, np.ndarray]) -> None:
    """How fast the recorded car was, on the road and off it."""
    total = sum(speeds[name].sum() for name in ("on_road", "on_edge", "on_grass"))
    bottom = np.zeros(len(speeds["on_road"]))
    for name, colour in (("on_road", "0.4"), ("on_edge", "tab:red"), ("on_grass", "tab:green")):
        share = speeds[name] / total
        label = name.replace("_", " the ")
        axes.bar(speeds["speed_m_per_s"] + 2.5, share, 5, bottom, color=colour, label=label)
        bottom += share
    axes.set(xlabel="speed (m/s)", ylabel="share of the frames", title="What the record shows")
    axes.legend()


def plot_vae(axes: Axes, curve: dict[str, np.ndarray]) -> None:
    """Squared error and KL of V on held-out episodes."""
    axes.plot(curve["frames"], curve["val_squared_error"], label="squared error an image")
    axes.plot(curve["frames"], curve["val_kl"], label="KL an image (nats)")
    axes.set(xlabel="frames", ylabel="on held-out episodes", title="V", ylim=(0, 60))
    axes.legend()


def plot_mdnrnn(axes: Axes, curve: dict[str, np.ndarray], metrics: dict[str, float]) -> None:
    """Negative log-likelihood of M beside its baselines."""
    axes.plot(curve["steps"], curve["val_nll"], label="M")
    axes.axhline(metrics["baseline_same_nll"], ls="--", color="0.4", label="z does not change")
    axes.axhline(metrics["baseline_gaussian_nll"], ls=":", color="0.4", label="one Gaussian")
    axes.set(xlabel="steps", ylabel="NLL a latent (nats)", title="M, held-out episodes")
    axes.legend()


def plot_controller(axes: Axes, curve: dict[str, np.ndarray]) -> None:
    """C as it is trained: the spread of what was driven, and how it drives validation tracks."""
    x, mean, std = curve["env_steps"] / 1e6, curve["return_mean"], curve["return_std"]
    axes.fill_between(
        x, mean - std, mean + std, alpha=0.2, label="candidates, or drives with noise, +- std"
    )
    axes.plot(x, mean, lw=1)
    seen = ~np.isnan(curve["validation"])
    axes.plot(x[seen], curve["validation"][seen], "o-", ms=3, label="C, validation tracks")
    steps = np.array(list(paper.RETURNS)) / max(paper.RETURNS) * paper.ENV_STEPS / 1e6
    returns = list(paper.RETURNS.values())
    axes.plot(steps, returns, "s-", ms=3, color="0.4", label="the paper's mean, test tracks")
    axes.axhline(paper.MEAN, ls="--", color="0.4", label=f"paper: {paper.MEAN}")
    axes.set(
        xlabel="million environment steps of this round's training", ylabel="return", title="C"
    )
    axes.set_xscale("log")
    axes.legend(loc="lower right")


def plot_returns(axes: Axes, returns: np.ndarray, metrics: dict[str, float]) -> None:
    """Returns on the test tracks."""
    axes.hist(returns, bins=list(range(min(0, int(returns.min() // 25) * 25), 1001, 25)))
    axes.axvline(metrics["mean"], color="tab:red", label=f"ours: {metrics['mean']:.0f}")
    label = f"paper: {paper.MEAN} +- {paper.STD}"
    axes.axvline(paper.MEAN, ls="--", color="0.4", label=label)
    axes.set(xlabel="return", ylabel="test tracks", title=f"{len(returns)} test tracks")
    axes.legend(loc="upper left")


def save(path: Path, draw, *data) -> None:
    """Draw one figure and write it as PNG."""
    figure: Figure
    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    draw(axes, *data)
    content = io.BytesIO()
    figure.savefig(content, dpi=110, metadata={"Software": None})
    write_bytes(path, content.getvalue())
    plt.close(figure)


def main(name: str, params: Params) -> None:
    matplotlib.use("Agg")
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
