"""How fast a car slides sideways: what comes before it spins."""

import numpy as np

from worldmodels.environment.rewards import FRAMES_PER_SECOND


def sliding(poses: np.ndarray) -> np.ndarray:
    """The car's speed across its own direction, in m/s, in each of T steps, float32 [T]; `poses`
    [T] before it.

    In the last step: as in the one before it, 0 if there is none.
    """
    moved = np.diff(poses["hull"][:, :2], axis=0)
    angle = poses["hull"][:-1, 2]
    sideways = np.abs(moved[:, 0] * np.cos(angle) + moved[:, 1] * np.sin(angle))
    sideways = np.append(sideways, sideways[-1:] if len(sideways) else 0.0)
    return (FRAMES_PER_SECOND * sideways).astype(np.float32)
