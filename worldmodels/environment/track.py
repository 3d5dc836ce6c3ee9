"""The track that a seed stands for: the polygons of its road and borders."""

from dataclasses import dataclass
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np
from gymnasium.envs.box2d.car_racing import CarRacing

WHITE, RED = -1, -2
NEVER = np.uint16(65535)


@dataclass(frozen=True)
class Track:
    """Polygons in the order in which Gymnasium paints them.

    `corners` [P, 4, 2] float64 in metres; `tiles` [P] int64: the index of a road tile, or WHITE or
    RED for a border; `length`: the number of tiles N.
    """

    corners: np.ndarray
    tiles: np.ndarray
    length: int

    @classmethod
    def of(cls, env: CarRacing) -> "Track":
        """Read the polygons of an environment that has been reset."""
        corners = np.array([polygon for polygon, _ in env.road_poly], dtype=np.float64)
        tiles = np.empty(len(corners), dtype=np.int64)
        tile = 0
        for index, (_, colour) in enumerate(env.road_poly):
            if isinstance(colour, tuple):
                tiles[index] = WHITE if colour == (255, 255, 255) else RED
            else:
                tiles[index] = tile
                tile += 1
        return cls(corners=corners, tiles=tiles, length=tile)


class _NoWorld:
    """Stands in for Box2D's world where only the track's geometry is wanted."""

    def CreateStaticBody(self, fixtures: Any) -> SimpleNamespace:
        return SimpleNamespace(fixtures=[SimpleNamespace()])


class _Surveyor(CarRacing):
    """Runs Gymnasium's own track generator without physics."""

    def survey(self, seed: int) -> Track:
        self.np_random = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
        self.world = _NoWorld()
        self.road_poly: list = []
        while not self._create_track():
            self.road_poly = []
        return Track.of(self)


@lru_cache(maxsize=16384)
def track_of(seed: int) -> Track:
    """The track that `reset(seed=seed)` makes, without making its bodies."""
    return _Surveyor().survey(seed)
