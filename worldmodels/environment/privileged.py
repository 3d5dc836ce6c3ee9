"""Privileged information on CarRacing, for practice alone: where the road lies, what was missed.

C never has it. The critic is given it while C is trained (asymmetric actor-critic, Pinto et al.
2017), and the prices that shape the reward in practice are computed from it.
"""

from typing import Annotated

import numpy as np
from pydantic import Field

from worldmodels.environment.physics.bodies import ANGLE, BODY_ROWS, LANES, SPIN, VX, VY, X, Y
from worldmodels.environment.vector_env import VectorCarRacing
from worldmodels.pipeline.params import Count, Natural, Positive, Section


class PrivilegedConfig(Section):
    """The section `real.ppo.privileged` of params.yaml, which has the units."""

    road_ahead: Annotated[list[Natural], Field(min_length=1)]
    speed_scale: Positive
    wheel_speed_scale: Positive
    distance_scale: Positive
    distance_limit: Positive
    reach: Count
    behind: Count
    coast: Count

    @property
    def size(self) -> int:
        """The length of a row of `Privileged.situation`."""
        return 3 + 4 + 4 + 4 + 2 * len(self.road_ahead)


class Privileged:
    """Follows the lap of the car in each slot of `env`.

    `foremost` [slots] is the foremost tile that the car has touched, `missed` [slots] the number
    of tiles that it has left behind untouched.
    """

    def __init__(self, env: VectorCarRacing, config: PrivilegedConfig):
        self.env, self.config = env, config
        slots = len(env.observations)
        self.foremost = np.zeros(slots, dtype=np.int64)
        self.missed = np.zeros(slots, dtype=np.int64)

    def start(self, slot: int) -> None:
        """Begin an episode in a slot."""
        self.foremost[slot] = self.missed[slot] = 0

    def newly_missed(self, slot: int) -> int:
        """The number of tiles left behind since the last call, by a car that has just touched one.

        The foremost tile moves on only to one within `reach`: one farther ahead is touched across
        the grass, from the road next to it.
        """
        visited, front = self.env.visited(slot), self.foremost[slot]
        within_reach = visited[front : front + self.config.reach]
        self.foremost[slot] = front + np.flatnonzero(within_reach).max(initial=0)
        passed = visited[: max(self.foremost[slot] - self.config.behind, 0)]
        missed = int((~passed).sum())
        more = max(missed - self.missed[slot], 0)
        self.missed[slot] = missed
        return more

    def missed_at_the_end(self, slot: int) -> int:
        """The tiles missed by a car that has come round, without those counted before."""
        return int((~self.env.visited(slot)).sum()) - int(self.missed[slot])

    def lap_is_complete(self, slot: int) -> bool:
        """True if every tile has been visited."""
        return bool(self.env.visited(slot).all())

    def has_come_round(self, slot: int, idle: int) -> bool:
        """True for a car that has touched one of the last tiles of its lap and is now nearest to
        a tile of the first half; never before `idle`, its steps without a new tile, is `coast`."""
        if idle < self.config.coast:
            return False
        tiles = len(self.env.visited(slot))
        at_the_end = self.foremost[slot] >= tiles - 1 - self.config.behind
        return bool(at_the_end and nearest_tile(self.env, slot) < tiles / 2)

    def situation(self) -> np.ndarray:
        """The numbers that the critic is told of each car, [slots, size], scaled to about one.

        The speed aside and ahead, the turning rate (rad/s), the wheels' speeds, their angles
        (rad), which of them are on the road, and how far aside, then how far ahead, the road lies
        `road_ahead` tiles from the foremost one touched.
        """
        env, config, count = self.env, self.config, len(self.foremost)
        hulls = env.state.bodies[:-1].reshape(-1, 5, BODY_ROWS, LANES)[:, 0]
        x, y, angle, vx, vy, spin = (
            hulls[:, row].reshape(-1)[:count].astype(np.float64)
            for row in (X, Y, ANGLE, VX, VY, SPIN)
        )
        tiles = (self.foremost[:, None] + np.array(config.road_ahead)) % env.tracks.lengths[
            :, None
        ]
        middles = env.tracks.circles[np.arange(count)[:, None], tiles, :2]
        dx, dy = middles[:, :, 0].T - x, middles[:, :, 1].T - y
        cos, sin = np.cos(angle), np.sin(angle)

        def seen_from_car(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return cos * x + sin * y, cos * y - sin * x

        limit = config.distance_limit
        road = [
            np.clip(part.T / config.distance_scale, -limit, limit)
            for part in seen_from_car(dx, dy)
        ]
        speeds = [part / config.speed_scale for part in seen_from_car(vx, vy)]
        wheel_speeds = env.state.omega / config.wheel_speed_scale
        wheels = wheel_speeds, env.poses["wheel_angle"], env.state.on_road
        return np.column_stack([*speeds, spin, *wheels, *road])


def nearest_tile(env: VectorCarRacing, slot: int) -> int:
    """The tile whose middle is nearest to the car in a slot."""
    x, y = env.motion(slot)[:2]
    middles = env.tracks.circles[slot, : env.tracks.lengths[slot], :2]
    return int(np.square(middles - (x, y)).sum(axis=1).argmin())
