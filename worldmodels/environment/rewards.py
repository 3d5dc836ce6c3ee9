"""CarRacing's reward: -STEP_COST per step, and LAP_REWARD / N for each of a track's N tiles.

A car that visits all tiles in 732 steps has a return of 1000 - 0.1 * 732 = 926.8. Leaving the
playfield ends the episode. Source: Gymnasium 1.4.0 `envs/box2d/car_racing.py`.
"""

import numpy as np

STEP_COST = 0.1
LAP_REWARD = 1000.0
LEFT_PLAYFIELD = -100.0  # the whole reward of the step that leaves it


def off_road(poses: np.ndarray) -> np.ndarray:
    """How far the car is off the road after each of T steps, float32 [T]; `poses` [T] before each.

    1: no wheel is on the road, so that tiles are missed; 0.5: one is; 0: two or more. After the
    last step: as before it.
    """
    wheels = poses["on_road"]
    off = np.clip(1 - 0.5 * wheels.astype(np.float32), 0, 1)
    return np.append(off[1:], off[-1:])
