"""C: the linear controller on [z, h].

Paper (section 2.3 and released code): a = tanh(W [z, h] + b), 867 numbers at Z = 32, H = 256. What
follows the linear map, from its outputs to actions, belongs to the environment.
"""

from typing import Literal

import numpy as np

from worldmodels.environment.actions import squash
from worldmodels.environment.interface import ACTION_SIZE
from worldmodels.runtime.compiled import compiled

Inputs = Literal["z", "z+hidden", "z+h"]


def feature_count(inputs: Inputs, latent_size: int, memory_size: int) -> int:
    """The number of features F that C is given."""
    return latent_size + (memory_size if inputs == "z+h" else 0)


def parameter_count(features: int, hidden_units: int) -> int:
    """The number of a controller's parameters; `hidden_units` is 0 for a linear one."""
    if hidden_units:
        return hidden_units * (features + 1) + ACTION_SIZE * (hidden_units + 1)
    return ACTION_SIZE * (features + 1)


def hidden_units_of(inputs: Inputs, features: int, parameters: int) -> int:
    """The hidden units of a controller with `parameters` parameters, 0 for a linear one.

    Raises ValueError if no controller on `inputs` has that many.
    """
    units = 0
    if inputs == "z+hidden":
        units = max((parameters - ACTION_SIZE) // (features + 1 + ACTION_SIZE), 1)
    if parameters != parameter_count(features, units):
        raise ValueError(
            f"no controller on {inputs} ({features} features) has {parameters} parameters"
        )
    return units


@compiled
def _affine(flat, offset, inputs, out):
    """Set `out` to W inputs + b, with W and then b read from `flat` at `offset`.

    Returns the offset after b.
    """
    count = inputs.shape[0]
    for row in range(out.shape[0]):
        total = flat[offset + out.shape[0] * count + row]
        for column in range(count):
            total += flat[offset + row * count + column] * inputs[column]
        out[row] = total
    return offset + out.shape[0] * (count + 1)


@compiled
def outputs(parameters, candidates, features, hidden_units):
    """C's outputs before the action map, [n, A] float64, for features [n, F] float64.

    `parameters` [C, P] float64, of which `candidates` [n] picks the row of each environment;
    `hidden_units` is 0 for a linear controller. Plain loops: each environment's sum runs in the
    same order whatever else is in the batch.
    """
    raw, hidden = np.empty((features.shape[0], ACTION_SIZE)), np.empty(hidden_units)
    for env in range(features.shape[0]):
        flat = parameters[candidates[env]]
        if hidden_units:
            offset = _affine(flat, 0, features[env], hidden)
            _affine(flat, offset, np.tanh(hidden), raw[env])
        else:
            _affine(flat, 0, features[env], raw[env])
    return raw


def act(
    parameters: np.ndarray, candidates: np.ndarray, features: np.ndarray, hidden_units: int
) -> np.ndarray:
    """Actions [n, A] float32 of environments under their own controllers; see `outputs`."""
    return squash(outputs(parameters, candidates, features, hidden_units))
