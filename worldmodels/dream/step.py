"""One step of many dreams under M."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from worldmodels.dream.model import CHANGE_SCALE, OFFSET_SCALE, DreamModel
from worldmodels.dream.rules import MEANS, Rules
from worldmodels.dream.sampling import draw_next
from worldmodels.memory.step import folded_gates, lstm_step

# Dreams are computed this many at a time, padded with zeros, so that no dream's bits depend on how
# many others there are; and a chunk's arrays stay in a core's cache.
CHUNK = 192

# The columns of DreamModel.outcome and probe, after the mixtures'
REWARD, LOST, OFF_ROAD = -3, -2, -1


class DreamOutcome(NamedTuple):
    """What M expects of n steps: the mixtures' raw outputs [n, 3 Z K], the reward [n], the
    probability of a loss [n], and how far the car is off the road [n], 0 to 1."""

    raw: np.ndarray
    reward: np.ndarray
    lost: np.ndarray
    off_road: np.ndarray


class DreamStep:
    """One step of many dreams under M, from its weights as they are when this is made."""

    def __init__(self, model: DreamModel):
        self.gates, self.bias = folded_gates(model.lstm)
        with torch.no_grad():
            heads = model.mixture, model.outcome, model.probe
            self.heads = torch.cat([head.weight for head in heads]).T.contiguous()
            self.heads_bias = torch.cat([head.bias for head in heads])
        self.centre, self.scale = model.centre, model.scale
        self.log_floor = float(np.log(model.config.min_sigma))

    def remember(
        self, latents: Tensor, before: Tensor, action: Tensor, hidden: Tensor, cell: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The state (hidden, cell) [CHUNK, H] after a frame `latents` [CHUNK, Z] and an action."""
        z, change = (latents - self.centre) / self.scale, (latents - before) / self.scale
        inputs = torch.cat([z, CHANGE_SCALE * change, action, hidden], dim=1)
        return lstm_step(inputs, cell, self.gates, self.bias)

    def outcome(self, hidden: Tensor) -> DreamOutcome:
        """What M expects, from hidden [CHUNK, H]."""
        outputs = torch.addmm(self.heads_bias, hidden, self.heads)
        return DreamOutcome(
            raw=outputs[:, :REWARD].contiguous().numpy(),
            reward=outputs[:, REWARD].numpy(),
            lost=outputs[:, LOST].sigmoid().numpy(),
            off_road=outputs[:, OFF_ROAD].sigmoid().numpy(),
        )

    def means(self, hidden: Tensor, latents: Tensor) -> Tensor:
        """The means [n, Z] of the next frame's mixtures, from hidden [n, H] after `latents`."""
        raw = torch.addmm(self.heads_bias, hidden, self.heads)[:, :REWARD].contiguous().numpy()
        unused = np.zeros(len(raw), dtype=np.uint64), np.zeros(len(raw), dtype=np.int64)
        return self.following(raw, latents, *unused, MEANS)

    def lost(self, hidden: Tensor) -> np.ndarray:
        """The probability [n] of a loss, from hidden [n, H]; its bits do not depend on n."""
        padded = torch.nn.functional.pad(hidden, (0, 0, 0, -len(hidden) % CHUNK))
        found = [self.outcome(part).lost for part in padded.split(CHUNK)]
        return np.concatenate(found)[: len(hidden)]

    def following(
        self, raw: np.ndarray, latents: Tensor, keys: np.ndarray, steps: np.ndarray, rules: Rules
    ) -> Tensor:
        """The latents [n, Z] of the next frame; see `draw_next`."""
        z = ((latents - self.centre) / self.scale).numpy()
        drawn = np.empty_like(z)
        draw_next(
            raw,
            z,
            keys,
            steps,
            rules.temperature,
            rules.sampled,
            OFFSET_SCALE,
            self.log_floor,
            drawn,
        )
        return torch.from_numpy(drawn) * self.scale + self.centre
