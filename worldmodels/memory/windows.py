"""Cut episodes of latents into padded batches of sequences for M."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from worldmodels.pipeline.errors import UserError
from worldmodels.records.latents import Latents
from worldmodels.vision.sampling import reparameterise


class Sequences:
    """The episodes of a record that `chosen` [episodes] picks."""

    def __init__(self, latents: Latents, chosen: np.ndarray):
        self.latents = latents
        lengths = latents.lengths
        starts = np.cumsum(lengths) - lengths
        chosen = chosen & (lengths > 1)  # a single step has no next one
        self.starts, self.lengths = starts[chosen], lengths[chosen]
        if not len(self.starts):
            raise UserError("no episode of two steps or more to learn from: raise rounds.*.frames")

    def windows(self, count: int, length: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """`count` windows of `length` steps, at random places of episodes chosen by their length.

        Places up to half a window before an episode stand for its start, which M meets in every
        drive and few windows would hold.

        `mu`, `logvar` [B, T + 1, Z]; `action` [B, T, 3]; `reward`, `terminated`, `has_next`,
        `is_step` [B, T] float32, zero where an episode is over.
        """
        episodes = rng.choice(len(self.lengths), count, p=self.lengths / self.lengths.sum())
        spare = np.maximum(self.lengths[episodes] - length, 0)
        offsets = np.maximum(rng.integers(-(length // 2), spare + 1), 0)
        return self._cut(self.starts[episodes] + offsets, self.lengths[episodes] - offsets, length)

    def episodes(self, count: int) -> Iterator[dict[str, Tensor]]:
        """All episodes from their first step on, `count` at a time."""
        for start in range(0, len(self.starts), count):
            part = slice(start, start + count)
            yield self._cut(self.starts[part], self.lengths[part], int(self.lengths[part].max()))

    def pairs(self, noise: torch.Generator) -> tuple[Tensor, Tensor]:
        """z [n, Z] at every step that has a next one, and z [n, Z] at that next one."""
        now = np.concatenate([np.arange(s, s + n - 1) for s, n in zip(self.starts, self.lengths)])
        return self._draw(now, noise), self._draw(now + 1, noise)

    def _draw(self, frames: np.ndarray, noise: torch.Generator) -> Tensor:
        mu = torch.from_numpy(self.latents.mu[frames]).float()
        logvar = torch.from_numpy(self.latents.logvar[frames]).float()
        return reparameterise(mu, logvar, torch.randn(mu.shape, generator=noise))

    def _cut(self, starts: np.ndarray, left: np.ndarray, length: int) -> dict[str, Tensor]:
        """Windows from `starts` [B]; `left` [B] steps of the episode remain there."""
        steps = np.arange(length + 1)
        inside = steps < left[:, None]
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
    """The same record, with the mean reward of `steps` steps, this one first, as each reward.

    An episode's last steps have the mean of what is left of it. A single reward tells a tile from
    none; the mean tells how fast tiles come.
    """
    if steps == 1:
        return latents  # to the last bit; differences of sums are rounded
    total = np.concatenate([[0.0], np.cumsum(latents.rewards, dtype=np.float64)])
    now = np.arange(len(latents.rewards))
    until = np.minimum(now + steps, np.cumsum(latents.lengths)[latents.episode])
    means = (total[until] - total[now]) / (until - now)
    return replace(latents, rewards=means.astype(np.float32))
