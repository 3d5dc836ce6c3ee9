"""The limits of an episode, and its score: the same in training, practice and tests."""

from typing import NamedTuple

import numpy as np

from worldmodels.environment.rewards import STEP_COST


class Limits(NamedTuple):
    """An episode is cut off after `horizon` steps, or after `patience` steps without a reward
    above 0, which in CarRacing is a new tile; a patience of 0 has no limit."""

    horizon: int
    patience: int

    def hopeless(self, idle: np.ndarray) -> np.ndarray:
        """True where an episode is cut off for its steps without a reward, `idle` [n]."""
        return (idle >= self.patience) & (self.patience > 0)

    def score(self, total: float, steps: int, terminated: bool) -> float:
        """The return of an episode whose rewards sum to `total` after `steps` steps.

        Where it was cut off, the steps up to the horizon are charged as if it had stood still.
        """
        return total - STEP_COST * (0 if terminated else self.horizon - steps)


def idle_steps(before: np.ndarray, rewards: np.ndarray) -> np.ndarray:
    """Steps without a reward above 0 [n], given those `before` this step and its rewards [n]."""
    return np.where(rewards > 0, 0, before + 1)
