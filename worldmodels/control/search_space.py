"""The space in which C is searched: its own parameters, or features scaled to unit variance."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from worldmodels.control.controller import ACTIONS, HIDDEN_UNITS, Inputs
from worldmodels.memory.mdnrnn import MDNRNN
from worldmodels.memory.windows import Sequences
from worldmodels.pipeline.errors import UserError
from worldmodels.records.latents import Latents


@dataclass(frozen=True)
class SearchSpace:
    """A linear change of variables: features f are searched as basis (f - centre).

    `basis` [K, F], `centre` [F]. What is found unfolds into the paper's controller exactly.
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

    def leading(self, rows: int) -> "SearchSpace":
        """The space of the first `rows` of what is searched."""
        return replace(self, basis=self.basis[:rows])

    def view(self, features: np.ndarray) -> np.ndarray:
        """Features [n, F] as they are searched, [n, K]."""
        return (features - self.centre) @ self.basis.T

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
    if components > hidden.shape[1]:
        raise UserError(
            f"params.yaml: evolution.hidden_components is {components}, but M has a hidden state "
            f"of {hidden.shape[1]}"
        )
    hidden_centre = hidden.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(hidden, rowvar=False))
    leading = np.argsort(values)[::-1][:components]
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(len(values))])
    scale = np.sqrt(np.maximum(values[leading], values.max() * 1e-6))
    rows = (vectors * signs)[:, leading].T / scale[:, None]
    blocks = np.zeros((len(basis) + len(rows), len(centre) + len(hidden_centre)))
    blocks[: len(basis), : len(centre)] = basis
    blocks[len(basis) :, len(centre) :] = rows
    return SearchSpace(inputs, blocks, np.concatenate([centre, hidden_centre]))


@torch.inference_mode()
def hidden_states(
    memory: MDNRNN, latents: Latents, frames: int, rng: np.random.Generator
) -> np.ndarray:
    """M's hidden states [n, H] along whole recorded episodes drawn at random, about `frames`."""
    order = rng.permutation(len(latents.lengths))
    lengths = latents.lengths[order]
    chosen = np.zeros(len(order), dtype=bool)
    chosen[order[np.cumsum(lengths) - lengths < frames]] = True
    parts = []
    for windows in Sequences(latents, chosen).episodes(64):
        mu, action = windows["mu"][:, :-1], windows["action"]
        state = memory.initial_state(len(mu))
        outputs, _ = memory.lstm(torch.cat([mu, action], dim=2), tuple(state))
        parts.append(outputs[windows["is_step"] > 0].double().numpy())
    return np.concatenate(parts)
