"""Records of driving, kept as scenes: not the pictures, but what they are drawn from.

About 20 bytes per frame (see `environment.frames`) take the place of 12,288. `Scenes.draw` returns
exactly the frames that the environment showed.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from worldmodels.environment.frames import (
    COLOURS,
    HEIGHT,
    PALETTE,
    POSE_DTYPE,
    SIZE,
    WIDTH,
    draw_frame,
    pack_palette,
)
from worldmodels.pipeline.errors import UserError
from worldmodels.records.tables import read_table, write_table


@dataclass(frozen=True)
class Episode:
    """One episode of T steps. Row t: the pose shown, the action then applied, and its reward.

    `poses` [T] of POSE_DTYPE; `actions` float16 [T, 3], exactly as applied; `rewards` float32 [T];
    `terminated`: the environment ended the episode, it was not cut off; `touched_at` uint16 [N]:
    the first frame that shows each tile of the track touched, or NEVER; `driver`: "exploration" or
    "agent".
    """

    track_seed: int
    driver: str
    poses: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: bool
    touched_at: np.ndarray


class Scenes:
    """All episodes of a record, end to end.

    Per frame: `poses`, `actions`, `rewards`, as in `Episode`, `episode_of` and `frame_of` (from 0
    in each episode). Per episode: `track_seeds`, `drivers`, `starts`, `lengths`, `ends` (true if
    terminated) and `touched_at`.
    """

    def __init__(self, episodes: Sequence[Episode]):
        self.poses = np.concatenate([episode.poses for episode in episodes])
        self.actions = np.concatenate([episode.actions for episode in episodes])
        self.rewards = np.concatenate([episode.rewards for episode in episodes])
        self.track_seeds = np.array([episode.track_seed for episode in episodes], dtype=np.int64)
        self.drivers = [episode.driver for episode in episodes]
        self.lengths = np.array([len(episode.rewards) for episode in episodes], dtype=np.int64)
        self.ends = np.array([episode.terminated for episode in episodes])
        self.touched_at = [episode.touched_at for episode in episodes]
        self._index()

    def _index(self) -> None:
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)[:-1]])
        self.episode_of = np.repeat(np.arange(len(self.lengths)), self.lengths)
        self.frame_of = np.arange(len(self.episode_of)) - self.starts[self.episode_of]

    def __len__(self) -> int:
        return len(self.rewards)

    def terminated(self) -> np.ndarray:
        """Return bool [frames]: true at the step that terminated its episode."""
        flags = np.zeros(len(self), dtype=bool)
        flags[(self.starts + self.lengths - 1)[self.ends]] = True
        return flags

    def draw(self, frames: np.ndarray) -> np.ndarray:
        """Draw the pictures uint8 [B, 64, 64, 3] of frame numbers [B]."""
        pictures = np.empty((len(frames), SIZE, SIZE, 3), dtype=np.uint8)
        self._draw_into(pictures, frames)
        return pictures

    def draw_as(
        self, frames: np.ndarray, height: int, width: int, colours: np.ndarray = COLOURS
    ) -> np.ndarray:
        """Draw the pictures at another size, uint8 [B, height, width, 3], or in other colours.

        They are drawn at 84x96 and resized by Pillow's BILINEAR. `colours` [11, 3], 0 to 255, are
        ordered as `canvas.COLOURS`.
        """
        crops = np.empty((len(frames), HEIGHT, WIDTH, 3), dtype=np.uint8)
        self._draw_into(crops, frames, pack_palette(colours))
        if (height, width) == (HEIGHT, WIDTH):
            return crops
        how = Image.Resampling.BILINEAR
        resized = [Image.fromarray(crop).resize((width, height), how) for crop in crops]
        return np.stack([np.asarray(image) for image in resized])

    def _draw_into(
        self, pictures: np.ndarray, frames: np.ndarray, palette: np.ndarray = PALETTE
    ) -> None:
        for picture, number in zip(pictures, frames):
            episode = self.episode_of[number]
            draw_frame(
                picture,
                int(self.track_seeds[episode]),
                self.touched_at[episode],
                int(self.frame_of[number]),
                self.poses[number],
                palette,
            )

    def batches(self, order: np.ndarray, size: int, threads: int) -> Iterator[np.ndarray]:
        """Yield the pictures uint8 [size, 64, 64, 3] of the frames `order` [n], `size` at a time;
        the last batch may be smaller.

        `threads` threads draw between batches, not while the caller computes on one: with more
        threads than cores, those of a matrix product wait for one another.
        """
        parts = [slice(thread, None, threads) for thread in range(threads)]
        with ThreadPoolExecutor(threads) as pool:
            for start in range(0, len(order), size):
                frames = order[start : start + size]
                pictures = np.empty((len(frames), SIZE, SIZE, 3), dtype=np.uint8)
                targets, numbers = [pictures[p] for p in parts], [frames[p] for p in parts]
                list(pool.map(self._draw_into, targets, numbers))
                yield pictures

    def save(self, folder: Path) -> None:
        """Write `steps.parquet`, `episodes.parquet` and `tiles.parquet`."""
        poses = {name: self.poses[name] for name in POSE_DTYPE.names or ()}
        steps = poses | {"action": self.actions, "reward": self.rewards}
        write_table(folder / "steps.parquet", steps)
        episodes = {
            "track_seed": self.track_seeds,
            "by_agent": np.array([driver == "agent" for driver in self.drivers]),
            "length": self.lengths,
            "terminated": self.ends,
            "tiles": np.array([len(touched) for touched in self.touched_at], dtype=np.int64),
        }
        write_table(folder / "episodes.parquet", episodes)
        write_table(folder / "tiles.parquet", {"touched_at": np.concatenate(self.touched_at)})

    @classmethod
    def load(cls, folder: Path) -> "Scenes":
        """Read what `save` wrote. Raises UserError if a file is missing, damaged or does not
        belong to the others."""
        steps, episodes, tiles = (
            read_table(folder / f"{name}.parquet") for name in ("steps", "episodes", "tiles")
        )
        self = cls.__new__(cls)
        self.poses = np.zeros(len(steps["reward"]), dtype=POSE_DTYPE)
        for name in POSE_DTYPE.names or ():
            self.poses[name] = steps[name]
        self.actions, self.rewards = steps["action"], steps["reward"]
        self.track_seeds, self.lengths = episodes["track_seed"], episodes["length"]
        self.drivers = ["agent" if agent else "exploration" for agent in episodes["by_agent"]]
        self.ends = episodes["terminated"]
        counts = episodes["tiles"]
        self.touched_at = np.split(tiles["touched_at"], np.cumsum(counts)[:-1])
        if self.lengths.sum() != len(self) or counts.sum() != len(tiles["touched_at"]):
            raise UserError(f"{folder}: its files belong to different records; run `dvc checkout`")
        self._index()
        return self
