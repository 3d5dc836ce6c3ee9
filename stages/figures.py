"""Draw the figures of a round from its numbers alone.

results/ROUND/*/*.csv -> results/ROUND/figures
Seconds.
Paper: figure 5 (learning curve), table 1 (906 +- 21); the reference's log for its generations.
"""

import io
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from worldmodels import stage
from worldmodels.errors import UserError
from worldmodels.params import Part
from worldmodels.storage import read_csv, read_json, write_bytes

PAPER_MEAN, PAPER_STD = 906, 21


class Params(Part):
    """Reads no numbers of params.yaml."""


def columns(path: Path) -> dict[str, np.ndarray]:
    """The columns of a CSV file as numbers, NaN where a cell is empty."""
    rows = read_csv(path)
    try:
        return {key: np.array([float(row[key] or "nan") for row in rows]) for key in rows[0]}
    except (ValueError, IndexError, TypeError) as error:
        raise UserError(f"{path}: damaged ({error}); `git restore` it or `dvc repro`") from None


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
    """The search of C: the population's spread and the mean on validation tracks."""
    x, mean, std = curve["env_steps"] / 1e6, curve["population_mean"], curve["population_std"]
    axes.fill_between(x, mean - std, mean + std, alpha=0.2, label="population, +- std")
    axes.plot(x, mean, lw=1)
    seen = ~np.isnan(curve["validation"])
    axes.plot(x[seen], curve["validation"][seen], "o-", ms=3, label="the mean, validation tracks")
    axes.axhline(PAPER_MEAN, ls="--", color="0.4", label=f"paper: {PAPER_MEAN}")
    axes.set(xlabel="million environment steps", ylabel="return", title="C")
    axes.legend(loc="lower right")


def plot_returns(axes: Axes, returns: np.ndarray, metrics: dict[str, float]) -> None:
    """Returns on the test tracks."""
    axes.hist(returns, bins=list(range(min(0, int(returns.min() // 25) * 25), 1001, 25)))
    axes.axvline(metrics["mean"], color="tab:red", label=f"ours: {metrics['mean']:.0f}")
    label = f"paper: {PAPER_MEAN} +- {PAPER_STD}"
    axes.axvline(PAPER_MEAN, ls="--", color="0.4", label=label)
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
    mdnrnn, evaluate = (
        read_json(results / s / "metrics.json") for s in ("train_mdnrnn", "evaluate")
    )
    save(figures / "record.png", plot_speeds, columns(results / "sample/speeds.csv"))
    save(figures / "vae.png", plot_vae, columns(results / "train_vae/curve.csv"))
    save(figures / "mdnrnn.png", plot_mdnrnn, columns(results / "train_mdnrnn/curve.csv"), mdnrnn)
    save(
        figures / "controller.png",
        plot_controller,
        columns(results / "train_controller/curve.csv"),
    )
    returns = columns(results / "evaluate/returns.csv")["return"]
    save(figures / "returns.png", plot_returns, returns, evaluate)


if __name__ == "__main__":
    stage.run("figures", Params, main)
