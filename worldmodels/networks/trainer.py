"""Train a network by Adam with a learning rate that falls along a cosine: V and M alike."""

import math

import torch
from torch import Tensor, nn

from worldmodels.pipeline.errors import UserError


class Trainer:
    """Adam on the weights that require a gradient; its rate falls to 0 in `steps` steps.

    The rate of step k, counted from 0, is learning_rate * (1 + cos(pi k / steps)) / 2.
    """

    def __init__(self, model: nn.Module, learning_rate: float, steps: int):
        self.model = model
        self.weights = [weight for weight in model.parameters() if weight.requires_grad]
        self.optimiser = torch.optim.Adam(self.weights, lr=learning_rate, fused=True)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, lambda step: 0.5 * (1 + math.cos(math.pi * step / steps))
        )

    def step(self, loss: Tensor, key: str, done: str, clip: float | None = None) -> None:
        """Take one step down the gradient of the scalar `loss`, each entry clipped to +-`clip`.

        Raises UserError if the loss is not finite; the message says how much was `done` so far
        and which `key` of params.yaml to lower.
        """
        if not torch.isfinite(loss):
            raise UserError(f"the loss is not finite after {done}: lower {key} in params.yaml")
        self.optimiser.zero_grad()
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_value_(self.weights, clip)
        self.optimiser.step()
        self.schedule.step()

    def state(self) -> dict:
        """Return everything that a step changes, for a checkpoint."""
        return {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
        }

    def restore(self, state: dict) -> None:
        """Continue from what `state` returned."""
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])


def due(step: int, steps: int, times: int) -> bool:
    """True if step `step` of `steps`, counted from 1, adds a row to a curve of about `times` rows.

    The last step always does.
    """
    return step % -(-steps // times) == 0 or step == steps
