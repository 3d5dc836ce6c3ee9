"""The moments of a record: what both Ms know at every step of its drives, where dreams begin."""

from dataclasses import dataclass

import numpy as np
import torch

from worldmodels.dream.environment import DreamStep, Moments
from worldmodels.dream.record import Drive
from worldmodels.memory.step import MemoryStep
from worldmodels.pipeline.errors import UserError


@dataclass(frozen=True)
class Along:
    """All moments [n] of some drives, one drive after the other.

    `drives` are the drives, `starts` [drives] the index of each one's first moment; `step` [n]
    counts the moments of a drive from 0.
    """

    moments: Moments
    drives: list[Drive]
    starts: np.ndarray
    step: np.ndarray

    @property
    def by_c(self) -> np.ndarray:
        """True [n] where C decided the step; everywhere, if it has decided none."""
        by_c = np.concatenate([drive.by_c for drive in self.drives])
        return by_c if by_c.any() else np.ones(len(by_c), bool)


@torch.inference_mode()
def follow(drives: list[Drive], memory: MemoryStep, dreams: DreamStep) -> Along:
    """The moments of `drives`: all drives step by step, the longest first, so that those under way
    are always the first rows."""
    lengths = np.array([len(drive) for drive in drives])
    starts = np.cumsum(lengths) - lengths
    total, Z = int(lengths.sum()), drives[0].mu.shape[1]
    H, units = memory.feature_size, dreams.gates.shape[1] // 4
    told = torch.from_numpy(np.concatenate([drive.told for drive in drives]))
    actions = torch.from_numpy(np.concatenate([drive.actions for drive in drives]))
    moments = Moments(
        told=told,
        before=torch.empty_like(told),
        memory=torch.empty(total, H),
        memory_cell=torch.empty(total, H),
        hidden=torch.empty(total, units),
        cell=torch.empty(total, units),
    )
    order = np.argsort(-lengths, kind="stable")
    state = memory.start(len(drives))
    hidden, cell = torch.zeros(len(drives), units), torch.zeros(len(drives), units)
    before = told[torch.from_numpy(starts[order])]
    for step in range(int(lengths.max())):
        under_way = int((lengths > step).sum())
        slots = np.arange(under_way)
        rows = torch.from_numpy(starts[order[:under_way]] + step)
        now, action = told[rows], actions[rows]
        moments.before[rows] = before[:under_way]
        moments.memory[rows] = state.hidden[:under_way]
        moments.memory_cell[rows] = state.cell[:under_way]
        moments.hidden[rows], moments.cell[rows] = hidden[:under_way], cell[:under_way]
        memory.step(state, slots, now[:, :Z], action)
        hidden, cell = dreams.remember(
            now, before[:under_way], action, hidden[:under_way], cell[:under_way]
        )
        before = now
    step_of = np.arange(total) - np.repeat(starts, lengths)
    return Along(moments, drives, starts, step_of)


@torch.inference_mode()
def errors_of(
    along: Along, dreams: DreamStep, rng: np.random.Generator, count: int
) -> torch.Tensor:
    """What M's means missed of the next mu [count, Z], at moments drawn at random.

    Raises UserError if no drive has two steps.
    """
    lengths = np.array([len(drive) for drive in along.drives])
    ends = along.starts + lengths - 1
    usable = np.setdiff1d(np.arange(len(along.step)), ends)
    if not len(usable):
        raise UserError("no episode of two steps or more to learn from: raise worlds.*.frames")
    rows = torch.from_numpy(rng.choice(usable, count))
    now = along.moments.rows(rows.numpy())
    actions = torch.from_numpy(np.concatenate([drive.actions for drive in along.drives]))[rows]
    hidden, _ = dreams.remember(now.told, now.before, actions, now.hidden, now.cell)
    missed = along.moments.told[rows + 1] - dreams.means(hidden, now.told)
    return missed[:, : along.drives[0].mu.shape[1]]


@dataclass(frozen=True)
class Weights:
    """How the moments that dreams begin with are drawn.

    `explored`: the share from the explorer's drives. `near_loss`: the share from the `reach` steps
    before the last tile of a lost car, without the `margin` steps before it, when nothing helps.
    """

    explored: float
    near_loss: float
    reach: int
    margin: int


def draw_moments(
    along: Along, count: int, weights: Weights, delay: int, rng: np.random.Generator
) -> np.ndarray:
    """Rows [count] of `along` where dreams begin: before a car is lost, where shares say.

    A share that the record cannot fill goes to the others.
    """
    of_c = np.array([drive.scene is not None for drive in along.drives])
    until = np.array([drive.lost_from(delay) for drive in along.drives])
    lost = np.array([drive.lost for drive in along.drives])
    lengths = np.array([len(drive) for drive in along.drives])
    of = np.repeat(np.arange(len(lengths)), lengths)
    useful = along.step < until[of]
    last_tile = until[of] - delay
    near = useful & lost[of] & of_c[of]
    near &= (along.step >= last_tile - weights.reach) & (along.step < last_tile - weights.margin)
    kinds = [
        (np.flatnonzero(useful & ~of_c[of]), weights.explored),
        (np.flatnonzero(near), weights.near_loss),
        (np.flatnonzero(useful & of_c[of]), 1 - weights.explored - weights.near_loss),
    ]
    kinds = [(rows, share) for rows, share in kinds if len(rows) and share > 0]
    total = sum(share for _, share in kinds)
    counts = [round(count * share / total) for _, share in kinds[1:]]
    counts = [count - sum(counts), *counts]
    drawn = [rng.choice(rows, n) for (rows, _), n in zip(kinds, counts)]
    return np.concatenate(drawn)
