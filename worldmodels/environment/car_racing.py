"""CarRacing-v3 with the picture drawn straight at 64x64 (see `picture`)."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.box2d.car_racing import CarRacing

from worldmodels.environment import picture
from worldmodels.environment.track import NEVER, Track

ENV_ID = "WorldModels/CarRacing-v3"
POSE_DTYPE = np.dtype(
    [
        ("hull", np.float32, 3),  # x, y in metres, angle in radians
        ("wheel_angle", np.float16, 4),  # radians against the hull
        ("wheel_phase", np.uint8, 4),  # 256ths of a turn
        ("on_road", np.uint8),  # how many wheels touch a road tile: shown to no model
    ]
)
PHASE_UNIT = 2 * np.pi / 256


class DrawnCarRacing(CarRacing):
    """Gymnasium's CarRacing-v3: its tracks, physics, rewards and ends, its picture drawn anew.

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
    touched_at: np.ndarray  # [N] uint16: the frame at which each tile was first touched
    tile_colors: np.ndarray  # [N, 3]
    frame: int  # 0 is what `reset` returns

    def __init__(self, render_mode: str | None = None):
        super().__init__(render_mode=render_mode)
        self.observation_space = spaces.Box(0, 255, (picture.SIZE, picture.SIZE, 3), np.uint8)
        self.pose = np.zeros((), dtype=POSE_DTYPE)

    def _create_track(self) -> bool:
        """Make the track; keep its polygons, and the tile colours in one array to watch."""
        if not super()._create_track():
            return False
        assert self.road is not None
        self.polygons = Track.of(self)
        self.tile_colors = np.array([tile.color for tile in self.road])
        for tile, color in zip(self.road, self.tile_colors):
            tile.color = color  # a view: Gymnasium recolours a tile in place when it is touched
        self._untouched: np.ndarray = self.tile_colors[:, 0].copy()
        self.touched_at = np.full(len(self.road), NEVER)
        colors = iter(self.tile_colors)
        self.road_poly = [
            (corners, color if isinstance(color, tuple) else next(colors))
            for corners, color in self.road_poly
        ]
        self.frame = -1
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
        touched = (self.tile_colors[:, 0] != self._untouched) & (self.touched_at == NEVER)
        self.touched_at[touched] = self.frame
        assert self.car is not None
        hull, pose = self.car.hull, self.pose
        position, angle = hull.position, hull.angle
        pose["hull"] = position[0], position[1], angle
        wheels = self.car.wheels
        pose["wheel_angle"] = [wheel.angle - angle for wheel in wheels]
        pose["wheel_phase"] = [int(wheel.phase / PHASE_UNIT) & 255 for wheel in wheels]
        pose["on_road"] = sum(bool(wheel.tiles) for wheel in wheels)
        observation = np.empty((picture.SIZE, picture.SIZE, 3), dtype=np.uint8)
        draw_pose(self.polygons, self.touched_at, self.frame, pose, observation)
        return observation


def draw_pose(track: Track, touched_at, frame: int, pose, out: np.ndarray) -> None:
    """Draw the frame of a pose (POSE_DTYPE) into `out` [64, 64, 3] uint8.

    `touched_at` [N] uint16 tells at which frame each tile was first touched (NEVER: not yet).
    """
    picture.draw(
        track.corners,
        track.tiles,
        touched_at,
        frame,
        pose["hull"],
        pose["wheel_angle"].astype(np.float32),
        pose["wheel_phase"] * np.float32(PHASE_UNIT),
        out,
    )


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
        spaces.Box(0, 255, (picture.SIZE, picture.SIZE, 3), np.uint8),
    )


def preprocess(observation: np.ndarray) -> np.ndarray:
    """Crop rows 0:84 of [96, 96, 3] uint8 and resize to [64, 64, 3] with Pillow's BILINEAR."""
    from PIL import Image

    crop = Image.fromarray(observation[: picture.HEIGHT])
    return np.asarray(crop.resize((picture.SIZE, picture.SIZE), Image.Resampling.BILINEAR))
