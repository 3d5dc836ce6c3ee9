"""CarRacing-v3 with its picture drawn directly at 64x64 (see `picture`)."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.box2d.car_racing import CarRacing, FrictionDetector

from worldmodels.environment.interface import SIZE
from worldmodels.environment.picture.canvas import HEIGHT
from worldmodels.environment.picture.pose import PHASE_UNIT, POSE_DTYPE, draw_pose
from worldmodels.environment.picture.track import NEVER, Track


class _Listener(FrictionDetector):
    """Gymnasium's contact listener, which also notes the frame of each tile's first contact."""

    env: "DrawnCarRacing"

    def _contact(self, contact: Any, begin: bool) -> None:
        super()._contact(contact, begin)
        for fixture in (contact.fixtureA, contact.fixtureB):
            index = getattr(fixture.body.userData, "idx", None)  # of a tile
            if index is not None and self.env.touched_at[index] == NEVER:
                self.env.touched_at[index] = self.env.frame + 1  # the frame that shows it


class DrawnCarRacing(CarRacing):
    """Gymnasium's CarRacing-v3 with the same tracks, physics and rewards but our own picture.

    `vector_env.VectorCarRacing` runs many of these at once, much faster, to the same bits.

    ## Observation
    uint8 [64, 64, 3]: rows 0:84 of the 96x96 picture, resized as by Pillow's BILINEAR.

    ## Action
    float32 [3]: steering in [-1, 1] (positive is right), gas in [0, 1], brake in [0, 1]. An
    action that is not finite raises ValueError; Gymnasium would pass it on to the physics.

    ## Reward
    -0.1 per step, +1000/N for the first visit to each of the track's N tiles. A lap completed in
    732 steps: 1000 - 0.1 * 732 = 926.8. The step that leaves the playfield: -100.

    ## End
    `terminated` when all tiles are visited or the car leaves the playfield. The class has no
    horizon; `gymnasium.make` adds one of 1,000 steps.

    `render_mode="rgb_array"` renders Gymnasium's own picture at 600x400, for videos.
    """

    polygons: Track
    track: Any
    touched_at: np.ndarray  # [N] uint16: frame that first shows each tile touched, or NEVER
    frame: int  # of the last observation; 0 after `reset`

    def __init__(self, render_mode: str | None = None):
        super().__init__(render_mode=render_mode)
        self.observation_space = spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)
        self.pose = np.zeros((), dtype=POSE_DTYPE)

    def _create_track(self) -> bool:
        if not super()._create_track():
            return False
        self.polygons = Track.of(self.road_poly, self.track)
        self.touched_at = np.full(len(self.track), NEVER)
        self.frame = -1
        listener = _Listener(self, self.lap_complete_percent)
        self.world.contactListener_bug_workaround = listener  # Box2D holds no reference of its own
        self.world.contactListener = listener
        return True

    def step(self, action: np.ndarray | None):  # type: ignore[override]
        if action is not None and not np.isfinite(action).all():
            raise ValueError(f"action {action} is not finite (frame {self.frame} of the episode)")
        return super().step(action)  # type: ignore[arg-type]

    def _render(self, mode: str):
        return self._draw() if mode == "state_pixels" else super()._render(mode)

    def official_picture(self) -> np.ndarray:
        """Return Gymnasium's own picture of the current state, uint8 [96, 96, 3]."""
        return super()._render("state_pixels")

    def _draw(self) -> np.ndarray:
        """Note the pose of this frame and draw it. Gymnasium calls this once per step."""
        self.frame += 1
        car, pose = self.car, self.pose
        assert car is not None
        pose["hull"] = (*car.hull.position, car.hull.angle)
        pose["wheel_angle"] = [wheel.angle - car.hull.angle for wheel in car.wheels]
        phases = np.array([wheel.phase for wheel in car.wheels])
        pose["wheel_phase"] = (phases / PHASE_UNIT).astype(np.int64) & 255
        pose["on_road"] = sum(bool(wheel.tiles) for wheel in car.wheels)
        observation = np.empty((SIZE, SIZE, 3), dtype=np.uint8)
        draw_pose(self.polygons, self.touched_at, self.frame, pose, observation)
        return observation


def make_official(**options: Any) -> gymnasium.Env:
    """Make Gymnasium's own CarRacing-v3, its observation cropped and resized by Pillow."""
    return gymnasium.wrappers.TransformObservation(
        gymnasium.make("CarRacing-v3", **options),
        preprocess,
        spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8),
    )


def preprocess(observation: np.ndarray) -> np.ndarray:
    """Crop rows 0:84 of [96, 96, 3] uint8 and resize to [64, 64, 3] with Pillow's BILINEAR."""
    from PIL import Image

    crop = Image.fromarray(observation[:HEIGHT])
    return np.asarray(crop.resize((SIZE, SIZE), Image.Resampling.BILINEAR))
