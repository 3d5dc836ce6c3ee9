"""C: the linear controller on [z, h], and the space in which it is searched.

Paper (section 2.3 and released code): a = tanh(W [z, h] + b), steering a0, gas (a1 + 1) / 2,
brake a2 clipped to [0, 1]: 867 numbers at Z = 32, H = 256.
"""

from dataclasses import dataclass
from typing import Literal

import numba
import numpy as np

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


@numba.njit(cache=True, nogil=True)
def _affine(flat, offset, inputs, out):
    """out = W inputs + b with W, then b, read from `flat` at `offset`; returns where b ends."""
    count = inputs.shape[0]
    for row in range(out.shape[0]):
        total = flat[offset + out.shape[0] * count + row]
        for column in range(count):
            total += flat[offset + row * count + column] * inputs[column]
        out[row] = total
    return offset + out.shape[0] * (count + 1)


@numba.njit(cache=True, nogil=True)
def act(parameters, candidates, features, hidden_units):
    """Actions [n, 3] float32 of cars with features [n, F] float64 under their own controllers.

    `parameters` [C, P] float64, `candidates` [n] picks the row of each car; `hidden_units` is 0
    for a linear controller. Plain loops: each car's sum runs in the same order whoever else is
    there.
    """
    actions = np.empty((features.shape[0], 3), dtype=np.float32)
    raw, hidden = np.empty(3), np.empty(hidden_units)
    for car in range(features.shape[0]):
        flat = parameters[candidates[car]]
        if hidden_units:
            offset = _affine(flat, 0, features[car], hidden)
            _affine(flat, offset, np.tanh(hidden), raw)
        else:
            _affine(flat, 0, features[car], raw)
        actions[car, 0] = np.tanh(raw[0])
        actions[car, 1] = (np.tanh(raw[1]) + 1) / 2
        actions[car, 2] = min(max(np.tanh(raw[2]), 0.0), 1.0)
    return actions


@dataclass(frozen=True)
class SearchSpace:
    """A linear change of variables: features f are searched as basis (f - centre).

    `basis` [D, F], `centre` [F]. What is found unfolds into the paper's controller exactly.
    """

    inputs: Inputs
    basis: np.ndarray
    centre: np.ndarray

    @property
    def dimensions(self) -> int:
        """How many numbers are searched."""
        rows = HIDDEN_UNITS if self.inputs == "z+hidden" else ACTIONS
        head = ACTIONS * (HIDDEN_UNITS + 1) if self.inputs == "z+hidden" else 0
        return rows * (self.basis.shape[0] + 1) + head

    def unfold(self, points: np.ndarray) -> np.ndarray:
        """Controller parameters [C, P] of search points [C, D]."""
        rows = HIDDEN_UNITS if self.inputs == "z+hidden" else ACTIONS
        cut = rows * self.basis.shape[0]
        scaled = points[:, :cut].reshape(len(points), rows, -1)
        weights = scaled @ self.basis
        bias = points[:, cut : cut + rows] - weights @ self.centre
        return np.concatenate(
            [weights.reshape(len(points), -1), bias, points[:, cut + rows :]], axis=1
        )


def raw_space(inputs: Inputs, features: int) -> SearchSpace:
    """The paper's: the parameters themselves."""
    return SearchSpace(inputs, np.eye(features), np.zeros(features))


def scaled_space(
    inputs: Inputs, mu: np.ndarray, hidden: np.ndarray | None, components: int, std_floor: float
) -> SearchSpace:
    """Latents and the first principal components of h, each at unit variance.

    `mu` [n, Z] and `hidden` [n, H] (None where C does not see h) are what V and M give on the
    recorded frames. A latent that V does not use keeps the scale `std_floor`: at unit variance its
    noise would drown the others.
    """
    centre = mu.mean(axis=0)
    basis = np.diag(1 / np.maximum(mu.std(axis=0), std_floor))
    if hidden is None:
        return SearchSpace(inputs, basis, centre)
    hidden_centre = hidden.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(hidden, rowvar=False))
    leading = np.argsort(values)[::-1][:components]
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(len(values))])
    rows = (vectors * signs)[:, leading].T / np.sqrt(np.maximum(values[leading], 1e-12))[:, None]
    blocks = np.zeros((len(basis) + len(rows), len(centre) + len(hidden_centre)))
    blocks[: len(basis), : len(centre)] = basis
    blocks[len(basis) :, len(centre) :] = rows
    return SearchSpace(inputs, blocks, np.concatenate([centre, hidden_centre]))
