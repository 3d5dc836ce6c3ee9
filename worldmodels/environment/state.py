"""State and tracks of many cars, as the flat arrays that compiled code works on."""

from typing import NamedTuple

import numpy as np

from worldmodels.environment.physics.bodies import BODY_ROWS, JOINT_ROWS, LANES


class CarState(NamedTuple):
    """The arrays that a step changes, indexed by block and lane, or by slot."""

    bodies: np.ndarray  # float32 [blocks + 1, 5, BODY_ROWS * LANES]: see `bodies`; last: spare
    joints: np.ndarray  # float32 [blocks + 1, 4, JOINT_ROWS * LANES]
    omega: np.ndarray  # float64 [slots, 4]: spin of the wheels, rad/s
    phase: np.ndarray  # float64 [slots, 4]: angle the wheels have rolled through, rad
    controls: np.ndarray  # float64 [slots, 3]: steering, throttle, brake
    on_road: np.ndarray  # bool [slots, 4]: whether a wheel touches a tile
    visited: np.ndarray  # bool [slots, tiles]: whether a wheel has touched the tile
    touched_at: np.ndarray  # uint16 [slots, tiles]: first frame that shows it touched, or NEVER
    frame: np.ndarray  # int64 [slots]: of the last picture; 0 after the reset
    visits: np.ndarray  # int64 [slots]: number of tiles visited
    reward: np.ndarray  # float64 [slots, 2]: sum so far, and the sum before this step

    @classmethod
    def empty(cls, slots: int) -> "CarState":
        """All zeros, with room for tracks of no tiles."""
        blocks = -(-slots // LANES)
        return cls(
            bodies=np.zeros((blocks + 1, 5, BODY_ROWS * LANES), dtype=np.float32),
            joints=np.zeros((blocks + 1, 4, JOINT_ROWS * LANES), dtype=np.float32),
            omega=np.zeros((slots, 4)),
            phase=np.zeros((slots, 4)),
            controls=np.zeros((slots, 3)),
            on_road=np.zeros((slots, 4), dtype=bool),
            visited=np.zeros((slots, 0), dtype=bool),
            touched_at=np.zeros((slots, 0), dtype=np.uint16),
            frame=np.zeros(slots, dtype=np.int64),
            visits=np.zeros(slots, dtype=np.int64),
            reward=np.zeros((slots, 2)),
        )

    def with_room(self, tiles: int) -> "CarState":
        """The same state, with room for tracks of `tiles` tiles."""
        return self._replace(
            visited=_lengthened(self.visited, tiles),
            touched_at=_lengthened(self.touched_at, tiles),
        )


class TrackGeometry(NamedTuple):
    """The track of each slot: `track.Track`, padded to the longest."""

    shapes: np.ndarray  # float32 [slots, tiles, 4, 2]: corners as Box2D has them
    shape_counts: np.ndarray  # int64 [slots, tiles]: corners that count, 3 or 4
    circles: np.ndarray  # float32 [slots, tiles, 3]: centre and radius around them
    lengths: np.ndarray  # int64 [slots]: number of tiles
    corners: np.ndarray  # float64 [slots, polygons, 4, 2]: for the picture, as the next two
    places: np.ndarray  # float32 [slots, polygons, 2]
    tiles: np.ndarray  # int16 [slots, polygons]
    polygons: np.ndarray  # int64 [slots]: number of polygons

    @classmethod
    def empty(cls, slots: int) -> "TrackGeometry":
        """Tracks of no tiles."""
        return cls(
            shapes=np.zeros((slots, 0, 4, 2), dtype=np.float32),
            shape_counts=np.zeros((slots, 0), dtype=np.int64),
            circles=np.zeros((slots, 0, 3), dtype=np.float32),
            lengths=np.zeros(slots, dtype=np.int64),
            corners=np.zeros((slots, 0, 4, 2)),
            places=np.zeros((slots, 0, 2), dtype=np.float32),
            tiles=np.zeros((slots, 0), dtype=np.int16),
            polygons=np.zeros(slots, dtype=np.int64),
        )

    def with_room(self, tiles: int, polygons: int) -> "TrackGeometry":
        """The same tracks, with room for `tiles` tiles and `polygons` polygons."""
        return self._replace(
            shapes=_lengthened(self.shapes, tiles),
            shape_counts=_lengthened(self.shape_counts, tiles),
            circles=_lengthened(self.circles, tiles),
            corners=_lengthened(self.corners, polygons),
            places=_lengthened(self.places, polygons),
            tiles=_lengthened(self.tiles, polygons),
        )


def _lengthened(array: np.ndarray, length: int) -> np.ndarray:
    """`array` [slots, n, ...] padded with zeros to n >= `length`; never shortened."""
    missing = length - array.shape[1]
    if missing <= 0:
        return array
    padding = np.zeros((len(array), missing, *array.shape[2:]), array.dtype)
    return np.concatenate([array, padding], axis=1)
