"""Many cars of CarRacing side by side, each on its own track: the environment in batches.

A slot holds what `DrawnCarRacing` is: the same tracks, motion, rewards, ends and pictures, to the
last bit. `dynamics` moves the cars of a block together, `tiles` tells what they touch.
"""

from typing import NamedTuple

import numpy as np
from gymnasium.envs.box2d.car_racing import PLAYFIELD

from worldmodels.environment.physics.bodies import (
    ANGLE,
    BODY_ROWS,
    JOINT_ROWS,
    LANES,
    SPIN,
    VX,
    VY,
    X,
    Y,
    place,
)
from worldmodels.environment.physics.dynamics import move
from worldmodels.environment.physics.tiles import touch
from worldmodels.environment.physics.wheels import drive_wheels
from worldmodels.environment.picture.canvas import PALETTE
from worldmodels.environment.picture.painter import draw
from worldmodels.environment.picture.pose import PHASE_UNIT, POSE_DTYPE
from worldmodels.environment.picture.resize import SIZE
from worldmodels.environment.picture.track import NEVER, track_of
from worldmodels.runtime.compiled import compiled


class CarState(NamedTuple):
    """What a step changes, indexed by block and lane or by slot."""

    bodies: np.ndarray  # float32 [blocks, 5, BODY_ROWS * LANES]: see `bodies`
    joints: np.ndarray  # float32 [blocks, 4, JOINT_ROWS * LANES]
    omega: np.ndarray  # float64 [slots, 4]: of the wheels, rad/s
    phase: np.ndarray  # float64 [slots, 4]: rad
    controls: np.ndarray  # float64 [slots, 3]: steering, throttle, brake
    on_road: np.ndarray  # bool [slots, 4]: whether a wheel touches a tile
    visited: np.ndarray  # bool [slots, tiles]
    touched_at: np.ndarray  # uint16 [slots, tiles]: the frame from which a tile looks touched
    frame: np.ndarray  # int64 [slots]: of the last picture, 0 after the reset
    visits: np.ndarray  # int64 [slots]: tiles visited
    reward: np.ndarray  # float64 [slots, 2]: so far, and before this step


class TrackGeometry(NamedTuple):
    """The track of each slot."""

    shapes: np.ndarray  # float32 [slots, tiles, 4, 2]: corners as Box2D has them
    shape_counts: np.ndarray  # int64 [slots, tiles]: corners, 3 or 4
    circles: np.ndarray  # float32 [slots, tiles, 3]: centre and radius around them
    lengths: np.ndarray  # int64 [slots]: tiles
    corners: np.ndarray  # float64 [slots, polygons, 4, 2]: for the picture, as the next two
    places: np.ndarray  # float32 [slots, polygons, 2]
    tiles: np.ndarray  # int16 [slots, polygons]
    polygons: np.ndarray  # int64 [slots]


class VectorCarRacing:
    """`slots` independent cars: their simulation in `state`, their tracks in `tracks`.

    `observations` uint8 [slots, 64, 64, 3] and `poses` [slots] of POSE_DTYPE are those after the
    last reset or step of a slot.
    """

    def __init__(self, slots: int):
        blocks = -(-slots // LANES)
        self.observations = np.zeros((slots, SIZE, SIZE, 3), dtype=np.uint8)
        self.poses = np.zeros(slots, dtype=POSE_DTYPE)
        self._angles = np.zeros((slots, 4))
        self.state = CarState(
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
        self.tracks = TrackGeometry(
            shapes=np.zeros((slots, 0, 4, 2), dtype=np.float32),
            shape_counts=np.zeros((slots, 0), dtype=np.int64),
            circles=np.zeros((slots, 0, 3), dtype=np.float32),
            lengths=np.zeros(slots, dtype=np.int64),
            corners=np.zeros((slots, 0, 4, 2)),
            places=np.zeros((slots, 0, 2), dtype=np.float32),
            tiles=np.zeros((slots, 0), dtype=np.int16),
            polygons=np.zeros(slots, dtype=np.int64),
        )

    def reset(self, slot: int, seed: int) -> None:
        """Begin an episode on the track of `seed`."""
        track = track_of(seed)
        self._make_room(track.length, len(track.tiles))
        state, tracks = self.state, self.tracks
        tracks.lengths[slot], tracks.polygons[slot] = track.length, len(track.tiles)
        for name in ("shapes", "shape_counts", "circles"):
            getattr(tracks, name)[slot, : track.length] = getattr(track, name)
        for name in ("corners", "places", "tiles"):
            getattr(tracks, name)[slot, : len(track.tiles)] = getattr(track, name)
        for array in (state.omega, state.phase, state.controls, state.on_road, state.visited):
            array[slot] = 0
        state.touched_at[slot] = NEVER
        state.frame[slot], state.visits[slot], state.reward[slot] = -1, 0, 0.0
        block, lane = divmod(slot, LANES)
        place(state.bodies[block], state.joints[block], lane, *track.start)
        begin(state, tracks, slot)
        self._show(np.array([slot]))

    def step(self, slots: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Step the cars in `slots` [n] by `actions` [n, 3]; returns rewards [n] and ends [n].

        `slots` are all whose episodes are under way: the others of a block roll on unattended.
        """
        if not np.isfinite(actions).all():
            raise ValueError(f"an action is not finite: {actions}")
        rewards, ended = np.empty(len(slots)), np.empty(len(slots), dtype=bool)
        advance(self.state, self.tracks, slots, actions.astype(np.float64), rewards, ended)
        self._show(slots)
        return rewards, ended

    def touched_at(self, slot: int) -> np.ndarray:
        """The frame [N] from which each tile looks touched, NEVER if it does not."""
        return self.state.touched_at[slot, : self.tracks.lengths[slot]].copy()

    def visited(self, slot: int) -> np.ndarray:
        """Which tiles the car has touched, bool [N]."""
        return self.state.visited[slot, : self.tracks.lengths[slot]].copy()

    def motion(self, slot: int) -> np.ndarray:
        """x, y, angle and their speeds, of hull and wheels: float32 [30]; metres, radians."""
        bodies = self.state.bodies[slot // LANES].reshape(5, BODY_ROWS, LANES)
        return bodies[:, [X, Y, ANGLE, VX, VY, SPIN], slot % LANES].flatten()

    def _show(self, slots: np.ndarray) -> None:
        """Take down the poses and draw what is seen."""
        poses, state = self.poses, self.state
        read_poses(state, slots, poses["hull"], self._angles)
        poses["wheel_angle"][slots] = self._angles[slots]
        poses["wheel_phase"][slots] = (state.phase[slots] / PHASE_UNIT).astype(np.int64) & 255
        poses["on_road"][slots] = state.on_road[slots].sum(axis=1)
        draw_all(
            state,
            self.tracks,
            slots,
            poses["hull"],
            poses["wheel_angle"].astype(np.float32),
            poses["wheel_phase"] * np.float32(PHASE_UNIT),
            PALETTE,
            self.observations,
        )

    def _make_room(self, tiles: int, polygons: int) -> None:
        """Make the arrays of the slots as long as the longest track."""

        def longer(name: str, array: np.ndarray) -> np.ndarray:
            wanted = {"tiles": polygons, "corners": polygons, "places": polygons}.get(name, tiles)
            per_slot = name in ("visited", "touched_at", *TrackGeometry._fields) and array.ndim > 1
            if not per_slot or array.shape[1] >= wanted:
                return array
            padding = np.zeros(
                (len(array), wanted - array.shape[1], *array.shape[2:]), array.dtype
            )
            return np.concatenate([array, padding], axis=1)

        self.state = CarState(**{k: longer(k, v) for k, v in self.state._asdict().items()})
        self.tracks = TrackGeometry(**{k: longer(k, v) for k, v in self.tracks._asdict().items()})


@compiled
def advance(state, tracks, slots, actions, rewards, ended):
    """One step of the environment for `slots`; Gymnasium's `CarRacing.step`."""
    moved = np.zeros(len(state.bodies), dtype=np.bool_)
    for n in range(len(slots)):
        slot = slots[n]
        controls = state.controls[slot]
        gas = min(max(actions[n, 1], 0.0), 1.0)
        controls[0], controls[2] = -actions[n, 0], actions[n, 2]
        controls[1] += min(gas - controls[1], 0.1)
        _prepare(state, tracks, slot)
        moved[slot // LANES] = True
    for block in range(len(moved)):
        if moved[block]:
            move(state.bodies[block], state.joints[block])
    for n in range(len(slots)):
        slot = slots[n]
        reward = state.reward[slot]
        reward[0] -= 0.1
        rewards[n] = reward[0] - reward[1]
        reward[1] = reward[0]
        hull = state.bodies[slot // LANES, 0]
        x, y = hull[X * LANES + slot % LANES], hull[Y * LANES + slot % LANES]
        outside = abs(x) > PLAYFIELD or abs(y) > PLAYFIELD
        if outside:
            rewards[n] = -100.0
        ended[n] = outside or state.visits[slot] == tracks.lengths[slot]


@compiled
def begin(state, tracks, slot):
    """The step without an action at the end of Gymnasium's `reset`: the others stand still."""
    block, lane = slot // LANES, slot % LANES
    _prepare(state, tracks, slot)
    bodies = state.bodies.reshape(-1, 5, BODY_ROWS, LANES)
    joints = state.joints.reshape(-1, 4, JOINT_ROWS, LANES)
    bodies[-1, :, :, lane], joints[-1, :, :, lane] = (
        bodies[block, :, :, lane],
        joints[block, :, :, lane],
    )
    move(state.bodies[-1], state.joints[-1])
    bodies[block, :, :, lane], joints[block, :, :, lane] = (
        bodies[-1, :, :, lane],
        joints[-1, :, :, lane],
    )


@compiled
def _prepare(state, tracks, slot):
    """What comes before the motion of a step: forces, then contacts."""
    block, lane = slot // LANES, slot % LANES
    bodies, joints = state.bodies[block], state.joints[block]
    drive_wheels(
        bodies,
        joints,
        lane,
        state.omega[slot],
        state.phase[slot],
        state.controls[slot],
        state.on_road[slot],
    )
    state.frame[slot] += 1
    touch(state, tracks, slot, bodies, lane)


@compiled
def read_poses(state, slots, hulls, angles):
    """x, y and angle of the hull into `hulls` [slots, 3], the wheels' angles against it into
    `angles` [slots, 4]."""
    for slot in slots:
        bodies, lane = state.bodies[slot // LANES], slot % LANES
        hull_angle = bodies[0, ANGLE * LANES + lane]
        hulls[slot, 0] = bodies[0, X * LANES + lane]
        hulls[slot, 1] = bodies[0, Y * LANES + lane]
        hulls[slot, 2] = hull_angle
        for i in range(4):
            wheel = bodies[i + 1, ANGLE * LANES + lane]
            angles[slot, i] = np.float64(wheel) - np.float64(hull_angle)


@compiled
def draw_all(state, tracks, slots, hulls, wheel_angles, wheel_phases, palette, observations):
    """Draw what the cars in `slots` see into `observations` [slots, 64, 64, 3]."""
    for slot in slots:
        count = tracks.polygons[slot]
        draw(
            tracks.corners[slot, :count],
            tracks.places[slot, :count],
            tracks.tiles[slot, :count],
            state.touched_at[slot],
            state.frame[slot],
            hulls[slot],
            wheel_angles[slot],
            wheel_phases[slot],
            palette,
            observations[slot],
        )
