"""Compare the variants that have been run, each with the baseline of its group.

variants.yaml, results/variants -> results/compare
Seconds. `python -m commands.variants` fills results/variants, in hours.
Paper: table 1 (V alone, V with a hidden layer, V and M).
"""

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from worldmodels.pipeline import stage
from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.params import Count, Part, Seed, read_yaml
from worldmodels.pipeline.storage import read_csv, write_bytes, write_csv
from worldmodels.reports.plotting import save_figure
from worldmodels.reports.statistics import summarise

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VARIANTS, COLLECTED, RESULTS = (
    Path("variants.yaml"),
    Path("results/variants"),
    Path("results/compare"),
)
HEADER = "| variant | trials | mean | 95 % | difference from {}, 95 % | std | worst | tracks |"


class EvaluateConfig(Part):
    resamples: Count


class Params(Part):
    seed: Seed
    evaluate: EvaluateConfig


class Scores(NamedTuple):
    """The scores of a variant: `returns` [trials, T] on `tracks` [T]; `curves` holds the
    validations of each trial as [n, 2], environment steps and mean return."""

    name: str
    tracks: np.ndarray
    returns: np.ndarray
    curves: list[np.ndarray]

    def difference(self, baseline: "Scores") -> np.ndarray:
        """This variant minus the baseline [t], each averaged over its trials, on the tracks that
        both have driven. Raises UserError if there are none."""
        shared, ours, theirs = np.intersect1d(self.tracks, baseline.tracks, return_indices=True)
        if not len(shared):
            raise UserError(
                f"{VARIANTS}: {self.name!r} and {baseline.name!r} share no test tracks"
            )
        return self.returns.mean(axis=0)[ours] - baseline.returns.mean(axis=0)[theirs]


def read_scores(
    name: str, returns: list[dict[str, str]], curves: list[dict[str, str]]
) -> Scores | None:
    """The scores of the variant `name` from the rows of all; None if it has not been run.

    Raises UserError if its trials were not driven on the same tracks.
    """
    ours = [row for row in returns if row["variant"] == name]
    trials: dict[str, dict[int, float]] = {row["trial"]: {} for row in ours}
    for row in ours:
        trials[row["trial"]][int(row["track"])] = float(row["return"])
    if not trials:
        return None
    tracks = sorted(next(iter(trials.values())))
    if any(sorted(trial) != tracks for trial in trials.values()):
        raise UserError(
            f"{COLLECTED}: the trials of {name!r} were not driven on the same tracks; "
            "`python -m commands.variants` runs those that are out of date"
        )
    validations: dict[str, list[tuple[float, float]]] = {trial: [] for trial in trials}
    for row in curves:
        if row["variant"] == name:
            point = float(row["env_steps"]), float(row["validation"])
            validations[row["trial"]].append(point)
    table = np.array([[trial[track] for track in tracks] for trial in trials.values()])
    lines = [np.array(points).reshape(-1, 2) for points in validations.values()]
    return Scores(name, np.array(tracks), table, lines)


Numbers = dict[str, str | float | int]


def compare(scores: Scores, baseline: Scores | None, resamples: int, seed: int) -> Numbers:
    """The numbers of a variant that are written and shown.

    `std` and `min` are those of single drives. `difference_*`: mean difference from the baseline
    on shared tracks, averaged over trials, with a paired bootstrap interval; NaN for the baseline
    itself, and where it has not been run.
    """
    found = summarise(scores.returns.mean(axis=0), resamples, np.random.default_rng(seed))
    difference = {"mean": math.nan, "ci_low": math.nan, "ci_high": math.nan}
    if baseline is not None and baseline is not scores:
        paired = scores.difference(baseline)
        difference |= summarise(paired, resamples, np.random.default_rng(seed))
    stds = [trial.std(ddof=1) if len(trial) > 1 else 0.0 for trial in scores.returns]
    return {
        "variant": scores.name,
        "trials": " ".join(str(mean) for mean in scores.returns.mean(axis=1)),
        "mean": found["mean"],
        "ci_low": found["ci_low"],
        "ci_high": found["ci_high"],
        "difference_mean": difference["mean"],
        "difference_ci_low": difference["ci_low"],
        "difference_ci_high": difference["ci_high"],
        "std": float(np.mean(stds)),
        "min": float(scores.returns.min()),
        "tracks": scores.returns.shape[1],
    }


def table_row(row: Numbers) -> str:
    """A variant as a row of the Markdown table."""
    trials = ", ".join(f"{float(mean):.0f}" for mean in str(row["trials"]).split())
    difference = ""
    if not math.isnan(float(row["difference_mean"])):
        difference = (
            f"{row['difference_mean']:+.0f} "
            f"({row['difference_ci_low']:+.0f} to {row['difference_ci_high']:+.0f})"
        )
    return (
        f"| {row['variant']} | {trials} | {row['mean']:.0f} "
        f"| {row['ci_low']:.0f} to {row['ci_high']:.0f} | {difference} | {row['std']:.0f} "
        f"| {row['min']:.0f} | {row['tracks']} |"
    )


def plot(figure: "Figure", variants: list[Scores], rows: list[Numbers]) -> None:
    """Plot the trials and the interval of every variant on the left, its validations during
    training on the right."""
    scores, curves = figure.subplots(1, 2)
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


def read_collected(name: str) -> list[dict[str, str]]:
    """The rows collected of all variants, returns or curves. Raises UserError without a file."""
    path = COLLECTED / f"{name}.csv"
    if not path.exists():
        raise UserError(f"{path}: no such file; `python -m commands.variants` makes it, in hours")
    return read_csv(path)


def main(params: Params) -> None:
    returns, curves = read_collected("returns"), read_collected("curves")
    for group, described in read_yaml(VARIANTS).items():
        own, baseline_name = list(described["variants"]), described["baseline"]
        names = own if baseline_name in own else [baseline_name, *own]
        every = [read_scores(name, returns, curves) for name in names]
        found = [scores for scores in every if scores is not None]
        if not any(scores.name in own for scores in found):
            continue
        baseline = next((scores for scores in found if scores.name == baseline_name), None)
        resamples, seed = params.evaluate.resamples, params.seed
        rows = [compare(scores, baseline, resamples, seed) for scores in found]
        write_csv(RESULTS / f"{group}.csv", rows)
        header = [HEADER.format(baseline_name), "|---" * 8 + "|"]
        table = "\n".join([*header, *map(table_row, rows)])
        write_bytes(RESULTS / f"{group}.md", f"{table}\n".encode())
        size = (11, max(3.5, 1.2 + 0.28 * len(found)))
        save_figure(RESULTS / f"{group}.png", size, partial(plot, variants=found, rows=rows))


if __name__ == "__main__":
    stage.run_without_round("compare", Params, main)
