"""M, ready to act: one step of its LSTM for many environments at once.

Whatever acts knows M through `MemoryStep` alone: an opaque state, the features that C is given,
and a step. Another M needs no more than these.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from worldmodels.environment.interface import ACTION_SIZE
from worldmodels.memory.mdnrnn import MDNRNN
from worldmodels.runtime.batch import FIXED_BATCH


class MemoryState:
    """The memories of the environments in `slots` slots; zero at the start of an episode."""

    def __init__(self, slots: int, hidden_size: int):
        self.hidden = torch.zeros(slots, hidden_size)
        self.cell = torch.zeros(slots, hidden_size)


class MemoryStep:
    """M's LSTM (paper, figure 4), without its heads.

    `gates` [Z + A + H, 4H] and `bias` [4H] are the LSTM's, in torch's order of gates: input,
    forget, candidate, output. It computes `batch` rows at a time, padded with zeros.
    """

    def __init__(self, gates: Tensor, bias: Tensor, batch: int = FIXED_BATCH):
        self.gates, self.bias, self.batch = gates, bias, batch
        self.feature_size = len(bias) // 4

    @classmethod
    def of(cls, model: MDNRNN) -> "MemoryStep":
        """The step of a trained M."""
        return cls(*folded_gates(model.lstm))

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor]) -> "MemoryStep":
        """The step whose `tensors` these are. Raises KeyError if one is missing."""
        return cls(tensors["gates"], tensors["bias"])

    def tensors(self) -> dict[str, Tensor]:
        """The tensors to save, by name."""
        return {"gates": self.gates, "bias": self.bias}

    def fits(self, latent_size: int, feature_size: int) -> bool:
        """True if the tensors are those of an LSTM of these sizes."""
        rows, columns = latent_size + ACTION_SIZE + feature_size, 4 * feature_size
        return self.gates.shape == (rows, columns) and self.bias.shape == (columns,)

    def start(self, slots: int) -> MemoryState:
        """The state of `slots` environments at the start of their episodes."""
        return MemoryState(slots, self.feature_size)

    def reset(self, state: MemoryState, slot: int) -> None:
        """Forget the episode in a slot."""
        state.hidden[slot] = state.cell[slot] = 0

    def features(self, state: MemoryState, slots: np.ndarray) -> Tensor:
        """The features of the memories in `slots` [n] that C is given: h, float32 [n, H]."""
        return state.hidden[slots]

    def step(self, state: MemoryState, slots: np.ndarray, z: Tensor, actions: Tensor) -> None:
        """Advance the memories in `slots` [n] by z [n or more, Z], of which n rows count, and the
        `actions` [n, A] taken."""
        for start in range(0, len(slots), self.batch):
            part = slots[start : start + self.batch]
            rows = slice(start, start + len(part))
            given = z[rows], actions[rows], state.hidden[part], state.cell[part]
            padded = (pad(column, (0, 0, 0, self.batch - len(part))) for column in given)
            hidden, cell = self.advance(*padded)
            state.hidden[part], state.cell[part] = hidden[: len(part)], cell[: len(part)]

    def advance(
        self, z: Tensor, actions: Tensor, hidden: Tensor, cell: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The next (hidden, cell) [batch, H] of memories that are given z [batch, Z] and the
        actions [batch, A]."""
        return lstm_step(torch.cat([z, actions, hidden], dim=1), cell, self.gates, self.bias)


@torch.no_grad()
def folded_gates(lstm: nn.LSTM) -> tuple[Tensor, Tensor]:
    """The `gates` [I + H, 4H] and `bias` [4H] of `lstm_step` from an LSTM of one layer."""
    weights = dict(lstm.named_parameters())
    gates = torch.cat([weights["weight_ih_l0"], weights["weight_hh_l0"]], dim=1).T.contiguous()
    return gates, weights["bias_ih_l0"] + weights["bias_hh_l0"]


def lstm_step(inputs: Tensor, cell: Tensor, gates: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """The next (hidden, cell) [n, H] of an LSTM with `gates` [I + H, 4H] and `bias` [4H].

    `inputs` [n, I + H] end with the hidden state. Hochreiter & Schmidhuber 1997, with the forget
    gate of Gers et al. 2000.
    """
    write, forget, candidate, output = torch.addmm(bias, inputs, gates).chunk(4, dim=1)
    cell = forget.sigmoid_() * cell + write.sigmoid_() * candidate.tanh_()
    return output.sigmoid_() * cell.tanh(), cell
