"""The curve of C's training on the real track: a row per generation of a search, or per update."""

import numpy as np

Row = dict[str, float | str]


def curve_row(
    iteration: int,
    env_steps: int,
    tracks: int,
    returns: np.ndarray,
    exploration_std: float,
    validation: float | str,
) -> Row:
    """A row; `returns` [n] are those of the candidates, or of the episodes that ended, if any.
    `tracks` counts the tracks that each candidate drove, or these episodes.

    `exploration_std` is the step size of the search, or the noise of PPO; `validation` is the mean
    return of C on validation tracks before the iteration, or "".
    """
    any_ended = len(returns) > 0
    return {
        "iteration": iteration,
        "env_steps": env_steps,
        "tracks": tracks,
        "return_mean": float(returns.mean()) if any_ended else "",
        "return_best": float(returns.max()) if any_ended else "",
        "return_std": float(returns.std()) if any_ended else "",
        "exploration_std": exploration_std,
        "validation": validation,
    }
