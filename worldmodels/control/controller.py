"""C: the linear controller on [z, h].

Paper (section 2.3 and released code): a = tanh(W [z, h] + b), steering a0, gas (a1 + 1) / 2,
brake a2 clipped to [0, 1]: 867 numbers at Z = 32, H = 256.
"""

from typing import Literal

import numpy as np

from worldmodels.runtime.compiled import compiled

Inputs = Literal["z", "z+hidden", "z+h"]
HIDDEN_UNITS = 40  # the hidden layer of the paper's ablation
ACTIONS = 3


def parameter_count(inputs: Inputs, latent_size: int, hidden_size: int) -> int:
    """How many numbers a controller has."""
    if inputs == "z":
        return ACTIONS * (latent_size + 1)
    if inputs == "z+hidden":
        return HIDDEN_UNITS * (latent_size + 1) + ACTIONS * (HIDDEN_UNITS + 1)
    return ACTIONS * (latent_size + hidden_size + 1)


@compiled
def _affine(flat, offset, inputs, out):
    """out = W inputs + b with W, then b, read from `flat` at `offset`; returns where b ends."""
    count = inputs.shape[0]
    for row in range(out.shape[0]):
        total = flat[offset + out.shape[0] * count + row]
        for column in range(count):
            total += flat[offset + row * count + column] * inputs[column]
        out[row] = total
    return offset + out.shape[0] * (count + 1)


@compiled
def outputs(parameters, candidates, features, hidden_units):
    """What C says before the squashing, [n, 3] float64, to features [n, F] float64 of n cars.

    `parameters` [C, P] float64, `candidates` [n] picks the row of each car; `hidden_units` is 0
    for a linear controller. Plain loops: each car's sum runs in the same order whoever else is
    there.
    """
    raw, hidden = np.empty((features.shape[0], 3)), np.empty(hidden_units)
    for car in range(features.shape[0]):
        flat = parameters[candidates[car]]
        if hidden_units:
            offset = _affine(flat, 0, features[car], hidden)
            _affine(flat, offset, np.tanh(hidden), raw[car])
        else:
            _affine(flat, 0, features[car], raw[car])
    return raw


@compiled
def squash(raw):
    """Actions [n, 3] float32 of what C says, [n, 3]."""
    actions = np.empty(raw.shape, dtype=np.float32)
    for car in range(raw.shape[0]):
        actions[car, 0] = np.tanh(raw[car, 0])
        actions[car, 1] = (np.tanh(raw[car, 1]) + 1) / 2
        actions[car, 2] = min(max(np.tanh(raw[car, 2]), 0.0), 1.0)
    return actions


@compiled
def act(parameters, candidates, features, hidden_units):
    """Actions [n, 3] float32 of cars under their own controllers; see `outputs`."""
    return squash(outputs(parameters, candidates, features, hidden_units))
