"""CarRacing-v3 with the picture drawn straight at 64x64 (see `picture`)."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.box2d.car_racing import CarRacing, FrictionDetector

from worldmodels.environment.picture.canvas import HEIGHT
from worldmodels.environment.picture.pose import PHASE_UNIT, POSE_DTYPE, draw_pose
from worldmodels.environment.picture.resize import SIZE
from worldmodels.environment.picture.track import NEVER, Track

ENV_ID = "WorldModels/CarRacing-v3"


class _Listener(FrictionDetector):
    """Gymnasium's, which also tells at which frame a tile was touched first."""

    env: "DrawnCarRacing"

    def _contact(self, contact: Any, begin: bool) -> None:
        super()._contact(contact, begin)
        for fixture in (contact.fixtureA, contact.fixtureB):
            index = getattr(fixture.body.userData, "idx", None)  # of a tile
            if index is not None and self.env.touched_at[index] == NEVER:
                self.env.touched_at[index] = self.env.frame + 1  # the frame that shows it


class DrawnCarRacing(CarRacing):
    """Gymnasium's CarRacing-v3: its tracks, physics, rewards and ends, its picture drawn anew.

    `vector_env.VectorCarRacing` is the same for many cars at once, and much faster.

    ## Observation
    uint8 [64, 64, 3]: rows 0:84 of the picture, resized as Pillow's BILINEAR.

    ## Action
    float32 [3]: steering in [-1, 1], gas in [0, 1], brake in [0, 1]. An action that is not finite
    is refused with ValueError, since Gymnasium would pass it on to the physics.

    ## Reward
    -0.1 a frame, +1000/N for each of the N tiles visited first, -100 for leaving the playfield:
    all N tiles in 732 frames give 1000 - 73.2 = 926.8.

    ## End
    `terminated` when all tiles are visited or the playfield is left. There is no horizon here:
    `gymnasium.make` adds one of 1,000 steps.

    `render_mode="rgb_array"` gives Gymnasium's own picture of 600x400 for videos.
    """

    polygons: Track
    track: Any
    touched_at: np.ndarray  # [N] uint16: the frame at which each tile was first touched
    frame: int  # 0 is what `reset` returns

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
        self.world.contactListener_bug_workaround = listener  # Gymnasium's name: holds it
        self.world.contactListener = listener
        return True

    def step(self, action: np.ndarray | None):  # type: ignore[override]
        if action is not None and not np.isfinite(action).all():
            raise ValueError(f"action {action} is not finite (frame {self.frame} of the episode)")
        return super().step(action)  # type: ignore[arg-type]

    def _render(self, mode: str):
        return self._draw() if mode == "state_pixels" else super()._render(mode)

    def official_picture(self) -> np.ndarray:
        """Gymnasium's own picture of this moment, uint8 [96, 96, 3]."""
        return super()._render("state_pixels")

    def _draw(self) -> np.ndarray:
        """Take down the pose of this frame and draw it: called once a step by Gymnasium's."""
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


def register() -> None:
    """Make `gymnasium.make(ENV_ID)` known, with CarRacing-v3's horizon of 1,000 steps."""
    if ENV_ID not in gymnasium.registry:
        entry_point = f"{__name__}:{DrawnCarRacing.__name__}"
        gymnasium.register(ENV_ID, entry_point, max_episode_steps=1000)


def make_official(**options: Any) -> gymnasium.Env:
    """Gymnasium's own CarRacing-v3 with the observation cropped and resized by Pillow."""
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
