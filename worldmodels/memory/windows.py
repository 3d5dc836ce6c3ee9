"""Cut episodes of latents into padded batches of sequences for M."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from worldmodels.pipeline.errors import UserError
from worldmodels.records.latents import Latents
from worldmodels.vision.sampling import reparameterise

# A window may start up to this share of its length before the episode; it is then moved to the
# first step. Uniform starts would put few windows there, and every drive begins there.
BEFORE_THE_START = 0.5


class Sequences:
    """The episodes of two steps or more among those that `chosen` bool [episodes] selects.

    Raises UserError if there are none.
    """

    def __init__(self, latents: Latents, chosen: np.ndarray):
        self.latents = latents
        lengths = latents.lengths
        starts = np.cumsum(lengths) - lengths
        chosen = chosen & (lengths > 1)  # a single step has no next one
        self.starts, self.lengths = starts[chosen], lengths[chosen]
        if not len(self.starts):
            raise UserError("no episode of two steps or more to learn from: raise worlds.*.frames")

    def windows(self, count: int, length: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Cut `count` windows of `length` steps, from episodes chosen in proportion to length.

        All float32, zero where an episode is over: `mu`, `logvar` [B, T + 1, Z]; `action`
        [B, T, 3]; `reward`, `terminated` [B, T]; `is_step` [B, T], 1 at steps of the episode;
        `has_next` [B, T], 1 where the step after it belongs to the episode too.
        """
        episodes = rng.choice(len(self.lengths), count, p=self.lengths / self.lengths.sum())
        spare = np.maximum(self.lengths[episodes] - length, 0)
        offsets = np.maximum(rng.integers(-int(BEFORE_THE_START * length), spare + 1), 0)
        return self._cut(self.starts[episodes] + offsets, self.lengths[episodes] - offsets, length)

    def episodes(self, count: int) -> Iterator[dict[str, Tensor]]:
        """Yield whole episodes, `count` at a time, as `windows` does, padded to the longest."""
        for start in range(0, len(self.starts), count):
            part = slice(start, start + count)
            yield self._cut(self.starts[part], self.lengths[part], int(self.lengths[part].max()))

    def pairs(self, noise: torch.Generator) -> tuple[Tensor, Tensor]:
        """Sample z [n, Z] at each step that has a next one, and z [n, Z] at those next ones."""
        now = np.concatenate([np.arange(s, s + n - 1) for s, n in zip(self.starts, self.lengths)])
        return self._draw(now, noise), self._draw(now + 1, noise)

    def _draw(self, frames: np.ndarray, noise: torch.Generator) -> Tensor:
        mu = torch.from_numpy(self.latents.mu[frames]).float()
        logvar = torch.from_numpy(self.latents.logvar[frames]).float()
        return reparameterise(mu, logvar, torch.randn(mu.shape, generator=noise))

    def _cut(self, starts: np.ndarray, remaining: np.ndarray, length: int) -> dict[str, Tensor]:
        """Cut windows from the frames `starts` [B], with `remaining` [B] steps in the episode."""
        steps = np.arange(length + 1)
        inside = steps < remaining[:, None]
        rows = np.where(inside, starts[:, None] + steps, starts[:, None])
        now, latents = rows[:, :-1], self.latents
        columns = {
            "mu": latents.mu[rows] * inside[..., None],
            "logvar": latents.logvar[rows] * inside[..., None],
            "action": latents.actions[now] * inside[:, :-1, None],
            "reward": latents.rewards[now] * inside[:, :-1],
            "terminated": latents.terminated[now] & inside[:, :-1],
            "has_next": inside[:, 1:],
            "is_step": inside[:, :-1],
        }
        return {name: torch.from_numpy(np.asarray(c, np.float32)) for name, c in columns.items()}


def with_rewards_ahead(latents: Latents, steps: int) -> Latents:
    """Replace each reward by the mean of `steps` rewards, from its own on.

    Near the end of an episode, by the mean of those that remain. One reward only says whether a
    tile was visited at that step; the mean says how fast tiles come.
    """
    if steps == 1:
        return latents  # exactly: the difference of sums below is rounded
    total = np.concatenate([[0.0], np.cumsum(latents.rewards, dtype=np.float64)])
    now = np.arange(len(latents.rewards))
    until = np.minimum(now + steps, np.cumsum(latents.lengths)[latents.episode])
    means = (total[until] - total[now]) / (until - now)
    return replace(latents, rewards=means.astype(np.float32))
