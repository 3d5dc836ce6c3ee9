"""The split of a record into training and validation episodes: one for V and M."""

import numpy as np

from worldmodels.pipeline.errors import UserError
from worldmodels.runtime.seeds import generator


def held_out(lengths: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Choose whole episodes for validation: bool [episodes], about `share` of them, at least one.

    Neighbouring frames are nearly equal: a loss on single frames held out would be too low. Raises
    UserError if there are too few episodes for both.
    """
    count = max(round(share * len(lengths)), 1)
    if count >= len(lengths):
        raise UserError(
            f"{len(lengths)} episode(s) are too few to hold {count} out for validation: "
            "raise worlds.*.frames or lower validation_share"
        )
    chosen = np.zeros(len(lengths), dtype=bool)
    chosen[generator(seed, "held out").permutation(len(lengths))[:count]] = True
    return chosen
