"""What V makes of a record: (mu, logvar) of every frame, with actions, rewards and ends."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from worldmodels.pipeline.errors import UserError
from worldmodels.records.tables import read_table, write_table


@dataclass(frozen=True)
class Latents:
    """`mu`, `logvar` [frames, Z] float16; `actions` [frames, 3] float16; `rewards` [frames]
    float32; `terminated` [frames] bool; `episode` [frames] int32, counting from 0."""

    mu: np.ndarray
    logvar: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    episode: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """Frames of each episode."""
        return np.bincount(self.episode)

    def save(self, path: Path) -> None:
        """Write one Parquet file."""
        write_table(path, vars(self))

    @classmethod
    def load(cls, path: Path) -> "Latents":
        """Read what `save` wrote. Raises UserError if it is damaged."""
        columns = read_table(path)
        if set(columns) != set(cls.__dataclass_fields__):
            raise UserError(f"{path}: holds {sorted(columns)}, which are no latents")
        return cls(**columns)


def quantise(values: np.ndarray, resolution: float) -> np.ndarray:
    """Round to multiples of `resolution`, as float16: noise below it is not worth storing."""
    return (np.rint(values / resolution) * resolution).astype(np.float16)
