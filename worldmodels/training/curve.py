"""The curve of C's training: a row a generation of a search, or an update of PPO."""

import numpy as np

Row = dict[str, float | str]


def curve_row(
    generation: int,
    env_steps: int,
    tracks: int,
    scores: np.ndarray,
    sigma: float,
    validation: float | str,
) -> Row:
    """A row; `scores` [n] are those of the candidates, or of the episodes that ended, if any.

    `sigma` is the step size of the search, or the noise; `validation` is the mean score on
    validation tracks of C as it was before the generation, or "".
    """
    there = len(scores) > 0
    return {
        "generation": generation,
        "env_steps": env_steps,
        "tracks": tracks,
        "population_mean": float(scores.mean()) if there else "",
        "population_best": float(scores.max()) if there else "",
        "population_std": float(scores.std()) if there else "",
        "sigma": sigma,
        "validation": validation,
    }
