"""Compare the variants that have been run, each with the one that its group is set beside.

variants.yaml, results/variants -> results/compare
Seconds. `python -m commands.variants` is what fills results/variants.
Paper: table 1 (V alone, V with a hidden layer, V and M).
"""

import io
import math
from pathlib import Path
from typing import NamedTuple

import matplotlib
import matplotlib.pyplot as plt
import numpy as np

from worldmodels.pipeline import stage
from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.params import Count, Part, read_yaml
from worldmodels.pipeline.storage import read_csv, write_bytes, write_csv
from worldmodels.reports.statistics import summarise

VARIANTS, RECORD, RESULTS = (
    Path("variants.yaml"),
    Path("results/variants"),
    Path("results/compare"),
)
HEADER = "| variant | trials | mean | 95 % | less {}, 95 % | std | worst | tracks |"


class Resamples(Part):
    resamples: Count


class Params(Part):
    evaluate: Resamples


class Scores(NamedTuple):
    """What a variant scored: `returns` [trials, T] on `tracks` [T]; `curves` a trial's validations
    as [n, 2], environment steps and mean return."""

    name: str
    tracks: np.ndarray
    returns: np.ndarray
    curves: list[np.ndarray]

    def less(self, other: "Scores") -> np.ndarray:
        """The differences [t] of the trials' mean, on the tracks that both have driven."""
        tracks, ours, theirs = np.intersect1d(self.tracks, other.tracks, return_indices=True)
        if not len(tracks):
            raise UserError(f"{VARIANTS}: {self.name!r} and {other.name!r} share no test tracks")
        return self.returns.mean(axis=0)[ours] - other.returns.mean(axis=0)[theirs]


def read(name: str, returns: list[dict[str, str]], curves: list[dict[str, str]]) -> Scores | None:
    """The scores of a variant, or None if it has not been run. Raises UserError if its trials
    were not driven on the same tracks."""
    ours = [row for row in returns if row["variant"] == name]
    trials: dict[str, dict[int, float]] = {row["trial"]: {} for row in ours}
    for row in ours:
        trials[row["trial"]][int(row["track"])] = float(row["return"])
    if not trials:
        return None
    tracks = sorted(next(iter(trials.values())))
    if any(sorted(trial) != tracks for trial in trials.values()):
        raise UserError(f"{RECORD}: the trials of {name!r} were not driven on the same tracks")
    validations: dict[str, list[tuple[float, float]]] = {trial: [] for trial in trials}
    for row in curves:
        if row["variant"] == name:
            point = float(row["env_steps"]), float(row["validation"])
            validations[row["trial"]].append(point)
    table = np.array([[trial[track] for track in tracks] for trial in trials.values()])
    lines = [np.array(points).reshape(-1, 2) for points in validations.values()]
    return Scores(name, np.array(tracks), table, lines)


Numbers = dict[str, str | float | int]


def compare(scores: Scores, recipe: Scores | None, resamples: int) -> Numbers:
    """A variant in numbers; std and min are those of single drives. What it gave less than the
    recipe is paired, over tracks, of the trials' mean; NaN where the recipe has not been run."""
    found = summarise(scores.returns.mean(axis=0), resamples, np.random.default_rng(1))
    less = {"mean": math.nan, "ci_low": math.nan, "ci_high": math.nan}
    if recipe is not None and recipe is not scores:
        less |= summarise(scores.less(recipe), resamples, np.random.default_rng(1))
    stds = [summarise(trial, 1, np.random.default_rng(1))["std"] for trial in scores.returns]
    return {
        "variant": scores.name,
        "trials": " ".join(f"{mean:.1f}" for mean in scores.returns.mean(axis=1)),
        "mean": found["mean"],
        "ci_low": found["ci_low"],
        "ci_high": found["ci_high"],
        "less_mean": less["mean"],
        "less_ci_low": less["ci_low"],
        "less_ci_high": less["ci_high"],
        "std": float(np.mean(stds)),
        "min": float(scores.returns.min()),
        "tracks": scores.returns.shape[1],
    }


def line(row: Numbers) -> str:
    """A variant's line of the table."""
    trials = ", ".join(f"{float(mean):.0f}" for mean in str(row["trials"]).split())
    less = ""
    if not math.isnan(float(row["less_mean"])):
        less = f"{row['less_mean']:+.0f} ({row['less_ci_low']:+.0f} to {row['less_ci_high']:+.0f})"
    return (
        f"| {row['variant']} | {trials} | {row['mean']:.0f} "
        f"| {row['ci_low']:.0f} to {row['ci_high']:.0f} | {less} | {row['std']:.0f} "
        f"| {row['min']:.0f} | {row['tracks']} |"
    )


def draw(variants: list[Scores], rows: list[Numbers]) -> bytes:
    """Every variant's trials and interval, and beside them its validations as it learns; a PNG."""
    figure, (scores, curves) = plt.subplots(
        1, 2, figsize=(11, max(3.5, 1.2 + 0.28 * len(variants))), layout="constrained"
    )
    for place, (variant, row) in enumerate(zip(variants, rows)):
        colour = f"C{place % 10}"
        scores.plot([row["ci_low"], row["ci_high"]], [-place, -place], color=colour, lw=3)
        trials = variant.returns.mean(axis=1)
        scores.plot(trials, np.full(len(trials), -place), "o", color=colour, ms=5, mec="black")
        for curve in variant.curves:
            style = "-" if place < 10 else "--"
            curves.plot(curve[:, 0] / 1e6, curve[:, 1], style, color=colour, lw=1)
    scores.set_yticks(-np.arange(len(variants)), [variant.name for variant in variants])
    scores.set(xlabel="return on test tracks: each trial, and 95 % of their mean over the tracks")
    curves.set(xlabel="million environment steps", ylabel="return on validation tracks")
    content = io.BytesIO()
    figure.savefig(content, dpi=110, metadata={"Software": None})
    plt.close(figure)
    return content.getvalue()


def recorded(name: str) -> list[dict[str, str]]:
    """What has been recorded of all variants. Raises UserError if nothing has."""
    path = RECORD / f"{name}.csv"
    if not path.exists():
        raise UserError(f"{path}: no such file; `python -m commands.variants` makes it, in hours")
    return read_csv(path)


def main(params: Params) -> None:
    matplotlib.use("Agg")
    returns, curves = recorded("returns"), recorded("curves")
    for group, described in read_yaml(VARIANTS).items():
        own, beside = list(described["variants"]), described["beside"]
        names = own if beside in own else [beside, *own]
        found = [read(name, returns, curves) for name in names]
        there = [scores for scores in found if scores is not None]
        if not any(scores.name in own for scores in there):
            continue
        recipe = next((scores for scores in there if scores.name == beside), None)
        rows = [compare(scores, recipe, params.evaluate.resamples) for scores in there]
        write_csv(RESULTS / f"{group}.csv", rows)
        header = [HEADER.format(beside), "|---" * 8 + "|"]
        table = "\n".join([*header, *(line(row) for row in rows)])
        write_bytes(RESULTS / f"{group}.md", f"{table}\n".encode())
        write_bytes(RESULTS / f"{group}.png", draw(there, rows))


if __name__ == "__main__":
    stage.run_without_round("compare", Params, main)
