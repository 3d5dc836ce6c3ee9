"""The C of zeros from which a round's training begins if its `start` is this file, not an agent's.

It steers straight on, whatever it sees. PPO draws a hidden layer, if C has one, at random, since
it could not learn with zeros in both layers.
"""

import numpy as np

from worldmodels.control.search_space import SearchSpace


def zeros(space: SearchSpace) -> np.ndarray:
    """The point [D] of `space` whose weights and biases are 0."""
    return np.zeros(space.dimensions)
