"""What training V and training M have in common: Adam along a cosine, and its state."""

import math

import torch
from torch import Tensor, nn

from worldmodels.pipeline.errors import UserError


class Training:
    """Adam with a learning rate that falls to 0 along a cosine over `steps` steps."""

    def __init__(self, model: nn.Module, learning_rate: float, steps: int):
        self.model = model
        self.weights = [weight for weight in model.parameters() if weight.requires_grad]
        self.optimiser = torch.optim.Adam(self.weights, lr=learning_rate, fused=True)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, lambda step: 0.5 * (1 + math.cos(math.pi * step / steps))
        )

    def step(self, loss: Tensor, key: str, done: str, clip: float | None = None) -> None:
        """One step down the gradient of `loss`, its values clipped to +-`clip`.

        Raises UserError, with what was `done` so far and the `key` of params.yaml to lower, if the
        loss is no number.
        """
        if not torch.isfinite(loss):
            raise UserError(
                f"the loss is no longer a number after {done}: lower {key} in params.yaml"
            )
        self.optimiser.zero_grad()
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_value_(self.weights, clip)
        self.optimiser.step()
        self.schedule.step()

    def state(self) -> dict:
        """All that a step changes, to be saved."""
        return {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
        }

    def restore(self, state: dict) -> None:
        """Go on from what `state` gave."""
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])


def due(step: int, steps: int, times: int) -> bool:
    """Whether to measure after this step (from 1): `times` times in all, and at the end."""
    return step % -(-steps // times) == 0 or step == steps
