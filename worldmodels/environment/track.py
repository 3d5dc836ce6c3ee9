"""The track that a seed stands for: its middle line and the polygons of road and borders."""

from collections.abc import Mapping
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

    `corners` [P, 4, 2] float64 in metres; `places` [P, 2] float32: the first corner of each, to
    tell what is in view; `tiles` [P] int16: the index of a road tile, or WHITE or
    RED for a border; `line`: (alpha, beta, x, y) of each of the N tiles, as Gymnasium's
    `env.track`; `random_state`: of the generator once it has made the track.
    """

    corners: np.ndarray
    places: np.ndarray
    tiles: np.ndarray
    line: tuple[tuple[float, float, float, float], ...]
    random_state: Mapping[str, Any]

    @property
    def length(self) -> int:
        """The number of tiles N."""
        return len(self.line)


class _NoWorld:
    """Stands in for Box2D's world where only the track's geometry is wanted."""

    def CreateStaticBody(self, fixtures: Any) -> SimpleNamespace:
        return SimpleNamespace(fixtures=[SimpleNamespace()])


class _Surveyor(CarRacing):
    """Runs Gymnasium's own track generator without physics."""

    def survey(self, rng: np.random.Generator) -> Track:
        self.np_random = rng
        self.world, self.fd_tile = _NoWorld(), SimpleNamespace(shape=SimpleNamespace())
        self.road_poly: list = []
        while not self._create_track():
            pass  # as `reset` does; polygons of a failed attempt stay, there as here
        colours = [colour for _, colour in self.road_poly]
        of_road = np.array([not isinstance(colour, tuple) for colour in colours])
        whites = np.array([isinstance(c, tuple) and c == (255, 255, 255) for c in colours])
        border = np.where(whites, WHITE, RED)
        corners = np.array([polygon for polygon, _ in self.road_poly], dtype=np.float64)
        return Track(
            corners=corners,
            places=corners[:, 0].astype(np.float32),
            tiles=np.where(of_road, np.cumsum(of_road) - 1, border).astype(np.int16),
            line=tuple(self.track),
            random_state=rng.bit_generator.state,
        )


def survey(rng: np.random.Generator) -> Track:
    """The track that Gymnasium's generator makes from `rng`, without its bodies."""
    return _Surveyor().survey(rng)


@lru_cache(maxsize=4096)
def track_of(seed: int) -> Track:
    """The track that `reset(seed=seed)` makes."""
    return survey(np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed))))
