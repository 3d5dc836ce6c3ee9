"""Pictures of what V learned: reconstructions, samples from the prior, a latent traversal."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from worldmodels.reports.images import to_pictures, write_grid
from worldmodels.vision.vae import VAE, to_input

COLUMNS = 8  # pictures per row; of originals, each row has its reconstructions under it
SAMPLES = 32  # from the prior
STEPS = torch.linspace(-2, 2, 9)  # of a traversal, in standard deviations of the prior


@torch.inference_mode()
def write_examples(
    vae: VAE, originals: np.ndarray, mu: Tensor, rng: torch.Generator, folder: Path
) -> None:
    """Write `reconstructions.png`, `prior_samples.png` and `traversal.png` into `folder`.

    `originals` uint8 [n, 64, 64, 3], n a multiple of COLUMNS. `mu` [m, Z] of held-out frames: the
    traversal moves each latent of the first of them through STEPS, one row per latent, the latent
    that varies most over all m first.
    """
    pictures = to_pictures(vae.decode(vae.encode(to_input(torch.from_numpy(originals)))[0]))
    shape = -1, COLUMNS, 64, 64, 3
    pairs = np.stack([originals.reshape(shape), pictures.reshape(shape)], 1)
    write_grid(folder / "reconstructions.png", pairs.reshape(-1, 64, 64, 3), COLUMNS)

    prior = torch.randn(SAMPLES, mu.shape[1], generator=rng)
    write_grid(folder / "prior_samples.png", to_pictures(vae.decode(prior)), COLUMNS)

    most_used = mu.std(dim=0).argsort(descending=True)
    rows = mu[:1].repeat(len(most_used), len(STEPS), 1).view(len(most_used), len(STEPS), -1)
    for row, latent in enumerate(most_used):
        rows[row, :, latent] = STEPS
    write_grid(folder / "traversal.png", to_pictures(vae.decode(rows.flatten(0, 1))), len(STEPS))
