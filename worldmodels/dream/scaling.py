"""The scaling of what C is given in a dream."""

from dataclasses import dataclass

import numpy as np
import torch

from worldmodels.control.search_space import SearchSpace


@dataclass(frozen=True)
class Scaling:
    """Scales features in float32: the affine map of a search space."""

    basis: torch.Tensor
    shift: torch.Tensor

    @classmethod
    def of(cls, space: SearchSpace) -> "Scaling":
        """The map of `space`."""
        basis = torch.from_numpy(space.basis.T.astype(np.float32))
        return cls(basis, torch.from_numpy((space.basis @ space.centre).astype(np.float32)))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Scaled features float32 [n, K] of features float32 [n, F or more], of which C is given
        the first F."""
        given = torch.from_numpy(features[:, : len(self.basis)])
        return (given @ self.basis - self.shift).numpy()
