"""Draw the figures of a world from its numbers.

results/WORLD: speeds of the record, curves and metrics of V and M -> results/WORLD/figures
Seconds.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from worldmodels.pipeline import stage
from worldmodels.pipeline.params import Part
from worldmodels.reports.plotting import save_plot
from worldmodels.reports.results import Columns, read_columns, read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class World(Part):
    """This stage reads no key of its world."""


class Params(Part):
    world: World


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


def main(name: str, params: Params) -> None:
    results = Path("results") / name
    speeds = read_columns(
        results / "sample/speeds.csv", "speed_m_per_s", "on_road", "on_edge", "on_grass"
    )
    vae = read_columns(results / "train_vae/curve.csv", "frames", "val_squared_error", "val_kl")
    mdnrnn = read_columns(results / "train_mdnrnn/curve.csv", "steps", "val_nll")
    names = ("baseline_same_nll", "baseline_gaussian_nll")
    baselines = read_metrics(results / "train_mdnrnn/metrics.json", *names)
    save_plot(results / "figures/record.png", plot_speeds, speeds)
    save_plot(results / "figures/vae.png", plot_vae, vae)
    save_plot(results / "figures/mdnrnn.png", plot_mdnrnn, mdnrnn, baselines)


if __name__ == "__main__":
    stage.run("world_figures", Params, main)
