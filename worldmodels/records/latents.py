"""A record as V encodes it: (mu, logvar) of every frame, with actions, rewards and ends."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from worldmodels.pipeline.errors import UserError
from worldmodels.records.tables import read_table, write_table


@dataclass(frozen=True)
class Latents:
    """Episodes end to end: everything that M is trained on.

    `mu`, `logvar` float16 [frames, Z]; `actions` float16 [frames, 3]; `rewards` float32 [frames];
    `terminated` bool [frames]; `episode` int32 [frames], counted from 0.
    """

    mu: np.ndarray
    logvar: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    episode: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """Number of frames of each episode, int64 [episodes]."""
        return np.bincount(self.episode)

    def save(self, path: Path) -> None:
        """Write one Parquet file."""
        write_table(path, vars(self))

    @classmethod
    def load(cls, path: Path) -> "Latents":
        """Read what `save` wrote. Raises UserError if it is missing, damaged or something else."""
        columns = read_table(path)
        if set(columns) != set(cls.__dataclass_fields__):
            raise UserError(f"{path}: its columns {sorted(columns)} are not those of latents")
        return cls(**columns)


def quantise(values: np.ndarray, resolution: float) -> np.ndarray:
    """Round to multiples of `resolution`, as float16: finer digits are noise and take up space."""
    return (np.rint(values / resolution) * resolution).astype(np.float16)
