"""The vector environment: many independent cars of CarRacing, stepped together.

A slot is one `DrawnCarRacing`: the same tracks, motion, rewards, ends and pictures, to the last
bit. `dynamics` moves the cars of a block together, `tiles` finds the tiles they touch, and
`painter` draws what each sees.
"""

import numpy as np
from gymnasium.envs.box2d.car_racing import PLAYFIELD

from worldmodels.environment.interface import SIZE
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
from worldmodels.environment.picture.track import NEVER, Track, track_of
from worldmodels.environment.rewards import LAP_REWARD, LEFT_PLAYFIELD, STEP_COST
from worldmodels.environment.state import CarState, TrackGeometry
from worldmodels.runtime.compiled import compiled


class VectorCarRacing:
    """`slots` independent cars: their simulation in `state`, their tracks in `tracks`.

    `observations` uint8 [slots, 64, 64, 3] and `poses` [slots] of POSE_DTYPE hold what the last
    reset or step of each slot showed; both are overwritten in place. Actions, rewards and ends are
    those of `DrawnCarRacing`. There is no horizon and no automatic reset.
    """

    def __init__(self, slots: int):
        self.observations = np.zeros((slots, SIZE, SIZE, 3), dtype=np.uint8)
        self.poses = np.zeros(slots, dtype=POSE_DTYPE)
        self._angles = np.zeros((slots, 4))
        self.state = CarState.empty(slots)
        self.tracks = TrackGeometry.empty(slots)

    def reset(self, slot: int, seed: int) -> None:
        """Begin an episode on the track that Gymnasium's `reset(seed=seed)` makes."""
        self.begin_on(slot, track_of(seed))

    def begin_on(self, slot: int, track: Track) -> None:
        """Begin an episode on a track."""
        # Tracks differ in length and compiled code takes rectangles: room for the longest so far.
        self.state = self.state.with_room(track.length)
        self.tracks = self.tracks.with_room(track.length, len(track.tiles))
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
        """Step the cars in `slots` [n] by `actions` [n, 3]; return rewards and ends, both [n].

        `slots` must name every car whose episode is under way: the cars of a block move together,
        so those left out roll on without action, reward or picture until they are reset.
        Raises ValueError if an action is not finite.
        """
        if not np.isfinite(actions).all():
            raise ValueError(f"an action is not finite: {actions}")
        rewards, ended = np.empty(len(slots)), np.empty(len(slots), dtype=bool)
        advance(self.state, self.tracks, slots, actions.astype(np.float64), rewards, ended)
        self._show(slots)
        return rewards, ended

    def touched_at(self, slot: int) -> np.ndarray:
        """Return the first frame that shows each tile touched, uint16 [N]; NEVER if none does."""
        return self.state.touched_at[slot, : self.tracks.lengths[slot]].copy()

    def visited(self, slot: int) -> np.ndarray:
        """Return which tiles the wheels have touched, bool [N]."""
        return self.state.visited[slot, : self.tracks.lengths[slot]].copy()

    def motion(self, slot: int) -> np.ndarray:
        """Return x, y, angle and their velocities, hull then wheels, float32 [30] (m, rad, s)."""
        bodies = self.state.bodies[slot // LANES].reshape(5, BODY_ROWS, LANES)
        return bodies[:, [X, Y, ANGLE, VX, VY, SPIN], slot % LANES].flatten()

    def _show(self, slots: np.ndarray) -> None:
        """Note the poses of `slots` and draw what their cars see."""
        poses, state = self.poses, self.state
        read_poses(state, slots, poses["hull"], self._angles)
        # The picture is drawn from the rounded pose, as a recorded frame is: both are the same.
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


@compiled
def advance(state, tracks, slots, actions, rewards, ended):
    """Step the cars in `slots` [n] by `actions` [n, 3] (Gymnasium's `CarRacing.step`).

    Writes `rewards` [n] and `ended` [n].
    """
    moved = np.zeros(len(state.bodies), dtype=np.bool_)
    for n in range(len(slots)):
        slot = slots[n]
        controls = state.controls[slot]
        gas = min(max(actions[n, 1], 0.0), 1.0)
        controls[0], controls[2] = -actions[n, 0], actions[n, 2]
        controls[1] += min(gas - controls[1], 0.1)  # the throttle opens by 0.1 per step at most
        _prepare(state, tracks, slot)
        moved[slot // LANES] = True
    for block in range(len(moved)):
        if moved[block]:
            move(state.bodies[block], state.joints[block])
    for n in range(len(slots)):
        slot = slots[n]
        reward = state.reward[slot]
        reward[0] -= STEP_COST
        # As in Gymnasium, a reward is a difference of sums, so that its last bits are the same.
        rewards[n] = reward[0] - reward[1]
        reward[1] = reward[0]
        hull = state.bodies[slot // LANES, 0]
        x, y = hull[X * LANES + slot % LANES], hull[Y * LANES + slot % LANES]
        outside = abs(x) > PLAYFIELD or abs(y) > PLAYFIELD
        if outside:
            rewards[n] = LEFT_PLAYFIELD
        ended[n] = outside or state.visits[slot] == tracks.lengths[slot]


@compiled
def begin(state, tracks, slot):
    """Take the step without an action at the end of Gymnasium's `reset`.

    A block moves as a whole, and its other cars must stand still meanwhile: the car moves in the
    spare block at the end.
    """
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
    """Do what Gymnasium and Box2D do before the bodies of a car move.

    Forces first: they take `on_road` as the last step left it. Then the contacts, which Box2D
    finds where the bodies are before they move; they show in this frame and pay in this step.
    """
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
    before = state.visits[slot]
    touch(state, tracks, slot, bodies, lane)
    for _ in range(state.visits[slot] - before):  # one by one, as Gymnasium: floats round at each
        state.reward[slot, 0] += LAP_REWARD / tracks.lengths[slot]


@compiled
def read_poses(state, slots, hulls, angles):
    """Write x, y and angle of the hulls to `hulls` [slots, 3], the wheels' angles against them to
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
    """Draw what the cars in `slots` see into `observations` uint8 [slots, 64, 64, 3]."""
    for slot in slots:
        count = tracks.polygons[slot]
        draw(
            (
                tracks.corners[slot, :count],
                tracks.places[slot, :count],
                tracks.tiles[slot, :count],
            ),
            state.touched_at[slot],
            state.frame[slot],
            hulls[slot],
            wheel_angles[slot],
            wheel_phases[slot],
            palette,
            observations[slot],
        )
