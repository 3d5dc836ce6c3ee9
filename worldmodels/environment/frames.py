"""Frames of CarRacing: their record, how they are drawn from it, and the car's motion.

A frame follows from the seed of its track, the pose of the car, and the frame at which each tile
was first touched: about 20 bytes, where the picture has 12,288.
"""

import numpy as np
from gymnasium.envs.box2d.car_racing import FPS

from worldmodels.environment.interface import SIZE
from worldmodels.environment.picture.canvas import COLOURS, HEIGHT, PALETTE, WIDTH, pack_palette
from worldmodels.environment.picture.pose import POSE_DTYPE, draw_pose
from worldmodels.environment.picture.track import track_of
from worldmodels.pipeline.errors import UserError

FRAMES_PER_SECOND = FPS  # of the simulation, a step each
MOTION_SIZE = 3  # m/s ahead, m/s sideways (to the right), rad/s (to the left)

__all__ = [
    "COLOURS",
    "FRAMES_PER_SECOND",
    "HEIGHT",
    "MOTION_SIZE",
    "PALETTE",
    "POSE_DTYPE",
    "SIZE",
    "WIDTH",
    "draw_frame",
    "motion",
    "pack_palette",
    "sliding_of",
    "speed_of",
]


def draw_frame(
    picture: np.ndarray,
    track_seed: int,
    touched_at: np.ndarray,
    frame: int,
    pose: np.ndarray,
    palette: np.ndarray = PALETTE,
) -> None:
    """Draw a frame into `picture`, uint8 [64, 64, 3] or the crop [84, 96, 3]; see `draw_pose`.

    Raises UserError if the track has not as many tiles as `touched_at` [N].
    """
    track = track_of(track_seed)
    if len(touched_at) != track.length:
        raise UserError(
            f"the record has {len(touched_at)} tiles for track {track_seed}, which has "
            f"{track.length} here: it was made with another version of Gymnasium"
        )
    draw_pose(track, touched_at, frame, pose, picture, palette)


def motion(poses: np.ndarray, before: np.ndarray | None = None) -> np.ndarray:
    """How the car has moved since the frame before, at each of T frames, float32 [T, MOTION_SIZE].

    `poses` [T] are those of the frames, `before` the pose of the frame before them; None: there is
    none, and the car does not move yet.
    """
    hull = poses["hull"].astype(np.float64)
    first = hull[:1] if before is None else before["hull"].astype(np.float64)[None]
    hull = np.concatenate([first, hull])
    east, north, turned = np.diff(hull, axis=0).T
    angle = hull[:-1, 2]  # 0 faces north
    ahead = north * np.cos(angle) - east * np.sin(angle)
    aside = east * np.cos(angle) + north * np.sin(angle)
    turned = (turned + np.pi) % (2 * np.pi) - np.pi
    return (FRAMES_PER_SECOND * np.stack([ahead, aside, turned], axis=1)).astype(np.float32)


def speed_of(moved: np.ndarray) -> np.ndarray:
    """The speed [...] in m/s of motions [..., MOTION_SIZE]."""
    return np.hypot(moved[..., 0], moved[..., 1])


def sliding_of(moved: np.ndarray) -> np.ndarray:
    """How fast the car slides sideways [...] in m/s, of motions [..., MOTION_SIZE]."""
    return np.abs(moved[..., 1])
