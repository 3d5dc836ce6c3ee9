"""The track of a seed: its centre line and the polygons of its road and borders."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np
from Box2D import b2PolygonShape
from gymnasium.envs.box2d.car_racing import CarRacing

WHITE, RED = -1, -2  # borders, in `Track.tiles`
NEVER = np.uint16(65535)  # a frame later than any


@dataclass(frozen=True)
class Track:
    """The polygons of a track, in the order in which Gymnasium paints them, and its N tiles.

    For the picture: `corners` float64 [P, 4, 2] in metres; `places` float32 [P, 2], the first
    corner of each, to tell what is in view; `tiles` int16 [P], the index of a road tile, or WHITE
    or RED for a border. `line` is Gymnasium's `env.track`: (alpha, beta, x, y) per tile.

    For contacts, the tiles as Box2D keeps them: `shapes` float32 [N, 4, 2] in metres, of which
    `shape_counts` [N] corners count, and a circle around each, `circles` float32 [N, 3]: x, y,
    radius.
    """

    corners: np.ndarray
    places: np.ndarray
    tiles: np.ndarray
    line: tuple[tuple[float, float, float, float], ...]
    shapes: np.ndarray
    shape_counts: np.ndarray
    circles: np.ndarray

    @classmethod
    def of(cls, road_poly: Sequence[tuple], line: Sequence[tuple]) -> "Track":
        """Build from Gymnasium's `env.road_poly`, (polygon, colour) pairs, and `env.track`."""
        # Gymnasium's road colours are arrays and its border colours tuples.
        colours = [colour for _, colour in road_poly]
        of_road = np.array([not isinstance(colour, tuple) for colour in colours])
        whites = np.array([isinstance(c, tuple) and c == (255, 255, 255) for c in colours])
        corners = np.array([polygon for polygon, _ in road_poly], dtype=np.float64)
        shapes, counts = box2d_shapes(corners[of_road])
        middles = shapes.sum(axis=1) / counts[:, None]
        spread = np.linalg.norm(shapes - middles[:, None], axis=2)
        radii = np.where(np.arange(4) < counts[:, None], spread, 0).max(axis=1)
        return cls(
            corners=corners,
            places=corners[:, 0].astype(np.float32),
            tiles=np.where(of_road, np.cumsum(of_road) - 1, np.where(whites, WHITE, RED)).astype(
                np.int16
            ),
            line=tuple(line),
            shapes=shapes,
            shape_counts=counts,
            circles=np.column_stack([middles, radii]).astype(np.float32),
        )

    @property
    def start(self) -> tuple[float, float, float]:
        """The start of the car: x, y in metres and its angle in radians."""
        _, angle, x, y = self.line[0]
        return x, y, angle

    @property
    def length(self) -> int:
        """The number of tiles N."""
        return len(self.line)


def box2d_shapes(quads: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners [N, 4, 2] that Box2D keeps of `quads` [N, 4, 2], and how many each [N].

    Box2D reorders them, and merges those that are close to each other.
    """
    kept = [b2PolygonShape(vertices=quad).vertices for quad in quads.tolist()]
    shapes = np.zeros((len(kept), 4, 2), dtype=np.float32)
    for shape, corners in zip(shapes, kept):
        shape[: len(corners)] = corners
    return shapes, np.array([len(corners) for corners in kept])


class _NoWorld:
    """Takes the place of Box2D's world: the track generator wants one to put tiles into."""

    def CreateStaticBody(self, fixtures: Any) -> SimpleNamespace:
        return SimpleNamespace(fixtures=[SimpleNamespace()])


class _Surveyor(CarRacing):
    """Runs Gymnasium's own track generator without physics."""

    def survey(self, rng: np.random.Generator) -> Track:
        self.np_random = rng
        self.world, self.fd_tile = _NoWorld(), SimpleNamespace(shape=SimpleNamespace())
        self.road_poly: list = []
        while not self._create_track():
            pass  # as `reset` does; there, too, the polygons of a failed attempt stay
        return Track.of(self.road_poly, self.track)


@lru_cache(maxsize=4096)
def track_of(seed: int) -> Track:
    """Return the track that Gymnasium's `reset(seed=seed)` makes; keeps the last 4,096."""
    return track_drawn_by(np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed))))


def track_drawn_by(rng: np.random.Generator) -> Track:
    """Return the track that Gymnasium's `reset()` makes in an environment whose generator this
    is."""
    return _Surveyor().survey(rng)
