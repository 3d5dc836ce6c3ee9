"""What no picture tells a car plainly: how fast it goes, and where the road ahead lies."""

import numpy as np

from worldmodels.environment.physics.bodies import ANGLE, BODY_ROWS, LANES, SPIN, VX, VY, X, Y
from worldmodels.environment.vector_env import VectorCarRacing

AHEAD = np.array([0, 2, 4, 7, 10, 14, 18, 23, 28, 34])  # tiles, of 3.5 m
SITUATION = 3 + 4 + 4 + 4 + 2 * len(AHEAD)  # numbers of a car
SPEED, SPIN_OF_WHEELS, DISTANCE = 25.0, 100.0, 20.0  # m/s, rad/s and m to a unit
FARTHEST = 4.0  # units of distance


def nearest_tile(fleet: VectorCarRacing, slot: int) -> int:
    """The tile whose middle is nearest to the car in a slot."""
    x, y = fleet.motion(slot)[:2]
    middles = fleet.tracks.circles[slot, : fleet.tracks.lengths[slot], :2]
    return int(np.square(middles - (x, y)).sum(axis=1).argmin())


def situation(fleet: VectorCarRacing, tiles: np.ndarray) -> np.ndarray:
    """The situation of the cars of a fleet, [slots, SITUATION] in numbers of about one.

    Its columns: the speed aside and ahead, how fast the car turns (rad/s), the spin of its wheels,
    their angles (rad), whether each is on the road, and how far aside, then how far ahead, lies
    the road AHEAD of the car's tile, of `tiles` [slots].
    """
    count, state, tracks = len(tiles), fleet.state, fleet.tracks
    hulls = state.bodies[:-1].reshape(-1, 5, BODY_ROWS, LANES)[:, 0]
    x, y, angle, vx, vy, spin = (
        hulls[:, row].reshape(-1)[:count].astype(np.float64) for row in (X, Y, ANGLE, VX, VY, SPIN)
    )
    at = (tiles[:, None] + AHEAD) % tracks.lengths[:, None]
    middles = tracks.circles[np.arange(count)[:, None], at, :2]
    dx, dy = middles[:, :, 0].T - x, middles[:, :, 1].T - y
    cos, sin = np.cos(angle), np.sin(angle)

    def turned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return cos * x + sin * y, cos * y - sin * x

    road = [np.clip(part.T / DISTANCE, -FARTHEST, FARTHEST) for part in turned(dx, dy)]
    speeds = [part / SPEED for part in turned(vx, vy)]
    wheels = state.omega / SPIN_OF_WHEELS, fleet.poses["wheel_angle"], state.on_road
    return np.column_stack([*speeds, spin, *wheels, *road])
