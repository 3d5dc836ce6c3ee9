"""The action map of CarRacing: from C's outputs to steering, gas and brake (paper's code)."""

import numpy as np

from worldmodels.runtime.compiled import compiled

LOWEST = np.array([-1.0, 0.0, 0.0])  # steering, gas, brake
HIGHEST = np.array([1.0, 1.0, 1.0])


@compiled
def squash(raw):
    """Actions [n, 3] float32 of C's outputs [n, 3]: tanh for the steering, (tanh + 1) / 2 for the
    gas, tanh clipped to [0, 1] for the brake."""
    actions = np.empty(raw.shape, dtype=np.float32)
    for env in range(raw.shape[0]):
        actions[env, 0] = np.tanh(raw[env, 0])
        actions[env, 1] = (np.tanh(raw[env, 1]) + 1) / 2
        actions[env, 2] = min(max(np.tanh(raw[env, 2]), 0.0), 1.0)
    return actions


def clip(actions: np.ndarray) -> np.ndarray:
    """Actions [n, ACTION_SIZE] limited to what the environment takes."""
    return np.clip(actions, LOWEST, HIGHEST)
