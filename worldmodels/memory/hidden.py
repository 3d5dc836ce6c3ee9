"""M's hidden states along a record, which scale the space in which C is trained."""

import numpy as np
import torch

from worldmodels.memory.mdnrnn import MDNRNN
from worldmodels.memory.windows import Sequences
from worldmodels.records.latents import Latents

EPISODES_PER_BATCH = 64


@torch.inference_mode()
def hidden_states(
    memory: MDNRNN, latents: Latents, frames: int, rng: np.random.Generator
) -> np.ndarray:
    """M's hidden states [n, H] float64 along whole recorded episodes drawn at random.

    n is `frames` or more, up to the end of the last episode drawn, or all frames if there are
    fewer.
    """
    order = rng.permutation(len(latents.lengths))
    lengths = latents.lengths[order]
    chosen = np.zeros(len(order), dtype=bool)
    chosen[order[np.cumsum(lengths) - lengths < frames]] = True
    parts = []
    for windows in Sequences(latents, chosen).episodes(EPISODES_PER_BATCH):
        mu, action = windows["mu"][:, :-1], windows["action"]
        state = memory.initial_state(len(mu))
        outputs, _ = memory.lstm(torch.cat([mu, action], dim=2), tuple(state))
        parts.append(outputs[windows["is_step"] > 0].double().numpy())
    return np.concatenate(parts)
