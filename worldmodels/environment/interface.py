"""The seam between the method and its environment: what any environment must provide.

V, M, C and their training know CarRacing only through

- `interface`: the sizes of an observation and an action, and a vector environment's methods;
- `actions`: the map from C's outputs to actions, and the range of an action;
- `rewards`: what a step costs, which is charged for the steps that a cut-off leaves out, and how
  far off the road the car is;
- `frames`: the record of a frame, how the frame is drawn from it, and how the car moves in it;
- `privileged`: what practice may know beyond the picture;
- `make`: the environments themselves.

Another environment fills these modules; V, M, C and the loops that train them stay as they are.
"""

from typing import Protocol

import numpy as np

SIZE = 64  # pixels: an observation is uint8 [SIZE, SIZE, 3]
ACTION_SIZE = 3


class VectorEnv(Protocol):
    """Environments in slots, each with an episode of its own.

    `observations` uint8 [slots, SIZE, SIZE, 3], and `poses` [slots] of `frames.POSE_DTYPE`, which
    are recorded in their place, are those after the last reset or step of each slot.
    """

    observations: np.ndarray
    poses: np.ndarray

    def reset(self, slot: int, seed: int) -> None:
        """Begin the episode of `seed` in a slot."""

    def step(self, slots: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Step the environments in `slots` [n] by `actions` [n, ACTION_SIZE]; returns rewards [n]
        and whether the episode has ended, bool [n]."""

    def touched_at(self, slot: int) -> np.ndarray:
        """The data that, with seed and poses, draw the frames of the episode in a slot."""
