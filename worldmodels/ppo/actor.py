"""The actor: C in its search space, as PPO trains it."""

import numpy as np
import torch
from torch import Tensor, nn


class Actor(nn.Module):
    """C in its search space, linear or with a hidden layer; its outputs are 0 before training."""

    def __init__(self, inputs: int, hidden_units: int, outputs: int):
        super().__init__()
        hidden = [nn.Linear(inputs, hidden_units), nn.Tanh()] if hidden_units else []
        last = nn.Linear(hidden_units or inputs, outputs)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(*hidden, last)

    def forward(self, features: Tensor) -> Tensor:
        """The mean [..., A] of C's outputs before the action map, for features [..., K]."""
        return self.layers(features)

    def point(self) -> np.ndarray:
        """C as a point [D] of its search space: each layer's weights, then its bias."""
        parts = [parameter.detach().flatten() for parameter in self.parameters()]
        return torch.cat(parts).double().numpy()

    def set_point(self, point: np.ndarray) -> None:
        """Make C the `point` [D]."""
        nn.utils.vector_to_parameters(
            torch.from_numpy(point.astype(np.float32)), self.parameters()
        )
