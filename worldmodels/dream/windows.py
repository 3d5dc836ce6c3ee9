"""The windows of a record that the M that dreams is trained on."""

import numpy as np
import torch
from torch import Tensor

from worldmodels.dream.record import Record
from worldmodels.pipeline.errors import UserError

# A window may start up to this share of its length before the episode; it is then moved to the
# first step. Uniform starts would put few windows there, and every drive begins there.
BEFORE_THE_START = 0.3


class Windows:
    """Cuts windows for M out of some drives of a record. A car counts as lost `delay` steps after
    its last tile; `ahead` is the mean reward of `ahead_steps` steps. Raises UserError if no drive
    has two steps."""

    def __init__(self, record: Record, chosen: list[int], delay: int, ahead_steps: int):
        drives = record.chosen(chosen)
        if not drives:
            raise UserError("no episode of two steps or more to learn from: raise worlds.*.frames")
        self.lengths = np.array([len(drive) for drive in drives])
        self.starts = np.cumsum(self.lengths) - self.lengths
        self.latents = np.concatenate([drive.latents for drive in drives])
        self.actions = np.concatenate([drive.actions for drive in drives])
        self.rewards = np.concatenate([drive.rewards for drive in drives])
        lost = [np.arange(len(drive)) >= drive.lost_from(delay) for drive in drives]
        self.lost = np.concatenate(lost)
        self.off_road = np.concatenate([drive.off_road for drive in drives])
        total = np.concatenate([[0.0], np.cumsum(self.rewards, dtype=np.float64)])
        now = np.arange(len(self.rewards))
        until = np.minimum(now + ahead_steps, np.repeat(self.starts + self.lengths, self.lengths))
        self.ahead = (total[until] - total[now]) / (until - now)

    def draw(self, count: int, length: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Cut `count` windows of `length` steps, from drives chosen in proportion to their length.

        All float32, zero where a drive is over: `latents` [B, T + 1, Z + MOTION_SIZE] (see
        `Drive`), `action` [B, T, A]; `reward`, `lost`, `off_road`, `ahead` (the mean reward of the
        next steps), `is_step` (1 at steps of the drive) and `has_next` (1 where the next frame
        belongs to it too) [B, T].
        """
        drives = rng.choice(len(self.lengths), count, p=self.lengths / self.lengths.sum())
        spare = np.maximum(self.lengths[drives] - length, 0)
        offsets = np.maximum(rng.integers(-int(BEFORE_THE_START * length), spare + 1), 0)
        remaining, starts = self.lengths[drives] - offsets, self.starts[drives] + offsets
        steps = np.arange(length + 1)
        inside = steps < remaining[:, None]
        rows = np.where(inside, starts[:, None] + steps, starts[:, None])
        now, is_step = rows[:, :-1], inside[:, :-1]
        columns = {
            "latents": self.latents[rows] * inside[..., None],
            "action": self.actions[now] * is_step[..., None],
            "reward": self.rewards[now] * is_step,
            "lost": self.lost[now] & is_step,
            "off_road": self.off_road[now] * is_step,
            "ahead": self.ahead[now] * is_step,
            "has_next": inside[:, 1:],
            "is_step": is_step,
        }
        return {name: torch.from_numpy(np.asarray(c, np.float32)) for name, c in columns.items()}
