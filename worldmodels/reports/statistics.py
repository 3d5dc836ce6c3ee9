"""Statistics of a list of returns: mean, spread and confidence interval."""

import numpy as np
from numpy.random import Generator


def summarise(returns: np.ndarray, resamples: int, rng: Generator) -> dict[str, float | int]:
    """Mean, standard deviation, standard error of the mean, 95 % bootstrap interval of the mean
    (from `resamples` resamples), mean of the middle half, min, max and number of `returns` [n]."""
    count = len(returns)
    picks = rng.integers(0, count, (resamples, count))
    low, high = np.percentile(returns[picks].mean(axis=1), [2.5, 97.5])
    return {
        "mean": float(returns.mean()),
        "std": float(returns.std(ddof=1)) if count > 1 else 0.0,
        "sem": standard_error(returns),
        "ci_low": float(low),
        "ci_high": float(high),
        "iqm": interquartile_mean(returns),
        "min": float(returns.min()),
        "max": float(returns.max()),
        "episodes": count,
    }


def standard_error(values: np.ndarray) -> float:
    """The standard error of the mean of `values` [n]; 0 if there is only one."""
    return float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0


def interquartile_mean(returns: np.ndarray) -> float:
    """The mean without the lowest and the highest quarter (Agarwal 2021)."""
    cut = len(returns) // 4
    return float(np.sort(returns)[cut : len(returns) - cut].mean())
