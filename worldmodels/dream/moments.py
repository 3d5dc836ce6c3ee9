"""The moments of a record: what both Ms know at every step of its drives, where dreams begin."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from worldmodels.dream.record import Drive
from worldmodels.dream.step import DreamStep
from worldmodels.environment.frames import MOTION_SIZE
from worldmodels.memory.step import MemoryStep
from worldmodels.pipeline.errors import UserError


class Moments(NamedTuple):
    """n moments of recorded episodes, from which dreams begin, all float32.

    `latents` [n, Z + MOTION_SIZE]: those of the M that dreams, mu and the motion of the frame;
    `before`: of the frame before it (the first frame of an episode: itself). `memory` and
    `memory_cell` [n, H]: the state of the M that C listens to; `hidden` and `cell` [n, H']: that
    of the M that dreams; both before the frame.
    """

    latents: Tensor
    before: Tensor
    memory: Tensor
    memory_cell: Tensor
    hidden: Tensor
    cell: Tensor

    @property
    def mu(self) -> Tensor:
        """What C is given of the frames, [n, Z]."""
        return self.latents[:, :-MOTION_SIZE]

    def rows(self, rows: np.ndarray) -> "Moments":
        """Some of the moments."""
        return Moments(*(column[torch.from_numpy(rows)] for column in self))


@dataclass(frozen=True)
class Along:
    """All moments [n] of some drives, one drive after the other.

    `drives` are the drives, `lengths` [drives] their numbers of moments and `starts` [drives] the
    index of each one's first; `step` [n] counts the moments of a drive from 0, and `of` [n] is
    the index of the drive.
    """

    moments: Moments
    drives: list[Drive]
    lengths: np.ndarray
    starts: np.ndarray
    of: np.ndarray
    step: np.ndarray

    def joined(self, column: str) -> np.ndarray:
        """A column of the drives, see `Drive`, [n, ...]."""
        return np.concatenate([getattr(drive, column) for drive in self.drives])

    @cached_property
    def by_c(self) -> np.ndarray:
        """True [n] where C decided the step; everywhere, if it has decided none."""
        by_c = self.joined("by_c")
        return by_c if by_c.any() else np.ones(len(by_c), bool)

    @cached_property
    def actions(self) -> Tensor:
        """The actions that were taken, float32 [n, A]."""
        return torch.from_numpy(self.joined("actions"))


@torch.inference_mode()
def follow(drives: list[Drive], memory: MemoryStep, dreams: DreamStep) -> Along:
    """The moments of `drives`: all drives step by step, the longest first, so that those under way
    are always the first rows."""
    lengths = np.array([len(drive) for drive in drives])
    starts = np.cumsum(lengths) - lengths
    total, Z = int(lengths.sum()), drives[0].mu.shape[1]
    H, units = memory.feature_size, dreams.gates.shape[1] // 4
    latents = torch.from_numpy(np.concatenate([drive.latents for drive in drives]))
    actions = torch.from_numpy(np.concatenate([drive.actions for drive in drives]))
    moments = Moments(
        latents=latents,
        before=torch.empty_like(latents),
        memory=torch.empty(total, H),
        memory_cell=torch.empty(total, H),
        hidden=torch.empty(total, units),
        cell=torch.empty(total, units),
    )
    order = np.argsort(-lengths, kind="stable")
    state = memory.start(len(drives))
    hidden, cell = torch.zeros(len(drives), units), torch.zeros(len(drives), units)
    before = latents[torch.from_numpy(starts[order])]
    for step in range(int(lengths.max())):
        under_way = int((lengths > step).sum())
        slots = np.arange(under_way)
        rows = torch.from_numpy(starts[order[:under_way]] + step)
        now, action = latents[rows], actions[rows]
        moments.before[rows] = before[:under_way]
        moments.memory[rows] = state.hidden[:under_way]
        moments.memory_cell[rows] = state.cell[:under_way]
        moments.hidden[rows], moments.cell[rows] = hidden[:under_way], cell[:under_way]
        memory.step(state, slots, now[:, :Z], action)
        hidden, cell = dreams.remember(
            now, before[:under_way], action, hidden[:under_way], cell[:under_way]
        )
        before = now
    of = np.repeat(np.arange(len(drives)), lengths)
    return Along(moments, drives, lengths, starts, of, np.arange(total) - starts[of])


@torch.inference_mode()
def errors_of(
    along: Along, dreams: DreamStep, rng: np.random.Generator, count: int
) -> torch.Tensor:
    """The errors of M's means for the next mu, [count, Z], at moments drawn at random.

    Raises UserError if no drive has two steps.
    """
    ends = along.starts + along.lengths - 1
    usable = np.setdiff1d(np.arange(len(along.step)), ends)
    if not len(usable):
        raise UserError("no episode of two steps or more to learn from: raise worlds.*.frames")
    rows = torch.from_numpy(rng.choice(usable, count))
    now = along.moments.rows(rows.numpy())
    hidden, _ = dreams.remember(now.latents, now.before, along.actions[rows], now.hidden, now.cell)
    missed = along.moments.latents[rows + 1] - dreams.means(hidden, now.latents)
    return missed[:, : along.drives[0].mu.shape[1]]
