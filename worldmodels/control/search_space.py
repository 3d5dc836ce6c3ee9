"""The space in which C is trained: its own parameters, or those on features of unit variance.

The units of h are correlated, and features differ in how much they vary: a step of one size in all
of C's own parameters is too large for some and too small for others.
"""

from dataclasses import dataclass, replace

import numpy as np

from worldmodels.control.controller import parameter_count
from worldmodels.environment.interface import ACTION_SIZE


@dataclass(frozen=True)
class SearchSpace:
    """A linear change of variables: C is trained on basis (f - centre) in place of features f.

    `basis` [K, F], `centre` [F]; `hidden_units` is 0 for a linear controller. A point of the space
    unfolds exactly into the parameters of the paper's controller.
    """

    hidden_units: int
    basis: np.ndarray
    centre: np.ndarray

    @property
    def dimensions(self) -> int:
        """The number D of trained parameters."""
        return parameter_count(len(self.basis), self.hidden_units)

    def leading(self, rows: int) -> "SearchSpace":
        """The space of the first `rows` of the scaled features."""
        return replace(self, basis=self.basis[:rows])

    def scale(self, features: np.ndarray) -> np.ndarray:
        """Scaled features [n, K] of features [n, F]."""
        return (features - self.centre) @ self.basis.T

    def unfold(self, points: np.ndarray) -> np.ndarray:
        """Controller parameters [C, P] of points [C, D].

        The first layer's weights and bias absorb basis and centre: W basis (f - centre) + b is
        (W basis) f + (b - W basis centre). What follows, a second layer, is unchanged.
        """
        rows = self.hidden_units or ACTION_SIZE
        cut = rows * len(self.basis)
        scaled = points[:, :cut].reshape(len(points), rows, -1)
        weights = scaled @ self.basis
        bias = points[:, cut : cut + rows] - weights @ self.centre
        return np.concatenate(
            [weights.reshape(len(points), -1), bias, points[:, cut + rows :]], axis=1
        )

    def fold(self, parameters: np.ndarray) -> np.ndarray:
        """The point [D] that unfolds into the controller `parameters` [P].

        Raises ValueError if no point does, since C uses features that the space lacks.
        """
        rows = self.hidden_units or ACTION_SIZE
        cut = rows * self.basis.shape[1]
        weights = parameters[:cut].reshape(rows, -1)
        scaled = weights @ np.linalg.pinv(self.basis)
        if not np.allclose(scaled @ self.basis, weights, atol=1e-6 * np.abs(weights).max()):
            raise ValueError(f"its weights are not among those of {len(self.basis)} features")
        bias = parameters[cut : cut + rows] + weights @ self.centre
        return np.concatenate([scaled.ravel(), bias, parameters[cut + rows :]])


def raw_space(hidden_units: int, features: int) -> SearchSpace:
    """The paper's space: the parameters themselves."""
    return SearchSpace(hidden_units, np.eye(features), np.zeros(features))


def scaled_space(
    hidden_units: int,
    mu: np.ndarray,
    hidden: np.ndarray | None,
    components: int,
    std_floor: float,
) -> SearchSpace:
    """Latents and the first `components` principal components of h, each at unit variance.

    `mu` [n, Z] and `hidden` [m, H] (None where C does not see h) are what V and M give on recorded
    frames. A latent that V does not use keeps the scale `std_floor`: at unit variance its noise
    would drown the others.
    """
    centre = mu.mean(axis=0)
    basis = np.diag(1 / np.maximum(mu.std(axis=0), std_floor))
    if hidden is None:
        return SearchSpace(hidden_units, basis, centre)
    hidden_centre = hidden.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(hidden, rowvar=False))
    leading = np.argsort(values)[::-1][:components]
    # The sign of an eigenvector is arbitrary: making its largest entry positive fixes it.
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(len(values))])
    # A component without variance would be scaled by 1 / 0: this limits the scale to 1,000 times
    # that of the largest component.
    scale = np.sqrt(np.maximum(values[leading], values.max() * 1e-6))
    rows = (vectors * signs)[:, leading].T / scale[:, None]
    blocks = np.zeros((len(basis) + len(rows), len(centre) + len(hidden_centre)))
    blocks[: len(basis), : len(centre)] = basis
    blocks[len(basis) :, len(centre) :] = rows
    return SearchSpace(hidden_units, blocks, np.concatenate([centre, hidden_centre]))
