"""What V sees of recorded drives in a mirror: the same bends, turning the other way."""

import numpy as np
import torch

from worldmodels.environment.frames import mirrored_pictures
from worldmodels.records.scenes import Scenes
from worldmodels.runtime.batch import FIXED_BATCH
from worldmodels.vision.encoder import BatchEncoder


@torch.inference_mode()
def mirrored_mu(encoder: BatchEncoder, observations: np.ndarray) -> np.ndarray:
    """mu float32 [n, Z] of observations uint8 [n, 64, 64, 3] in a mirror."""
    count = len(observations)
    rows = -(-count // FIXED_BATCH) * FIXED_BATCH
    padded = np.zeros((rows, *observations.shape[1:]), dtype=np.uint8)
    padded[:count] = mirrored_pictures(observations)
    return encoder(padded)[0][:count].numpy()


def mirrored_mu_of(scenes: Scenes, encoder: BatchEncoder, threads: int) -> np.ndarray:
    """mu float32 [frames, Z] of all frames of `scenes` in a mirror."""
    order = np.arange(len(scenes))
    batches = scenes.batches(order, 16 * FIXED_BATCH, threads)
    return np.concatenate([mirrored_mu(encoder, pictures) for pictures in batches])
