"""The critic, which serves C's training and is discarded."""

import numpy as np
import torch
from torch import Tensor, nn


class Critic(nn.Module):
    """The value of a situation: the discounted rewards that are still to come."""

    def __init__(self, inputs: int, units: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(inputs, units),
            nn.Tanh(),
            nn.Linear(units, units),
            nn.Tanh(),
            nn.Linear(units, 1),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Values [...], in units of `value_scale` points, for `inputs` [..., L]."""
        return self.layers(inputs)[..., 0]

    @torch.no_grad()
    def values(self, inputs: np.ndarray, value_scale: float) -> np.ndarray:
        """Values [...] in points, float64, for `inputs` float32 [..., L]."""
        return value_scale * self(torch.from_numpy(inputs)).double().numpy()
