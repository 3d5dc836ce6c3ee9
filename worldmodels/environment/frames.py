"""The record of a frame of CarRacing, and the drawing of the frame from it.

A frame follows from the seed of its track, the pose of the car, and the frame at which each tile
was first touched: about 20 bytes, where the picture has 12,288.
"""

import numpy as np

from worldmodels.environment.interface import SIZE
from worldmodels.environment.picture.canvas import COLOURS, HEIGHT, PALETTE, WIDTH, pack_palette
from worldmodels.environment.picture.pose import POSE_DTYPE, draw_pose
from worldmodels.environment.picture.track import track_of

__all__ = [
    "COLOURS",
    "HEIGHT",
    "PALETTE",
    "POSE_DTYPE",
    "SIZE",
    "WIDTH",
    "draw_frame",
    "pack_palette",
]


def draw_frame(
    picture: np.ndarray,
    track_seed: int,
    touched_at: np.ndarray,
    frame: int,
    pose: np.ndarray,
    palette: np.ndarray = PALETTE,
) -> None:
    """Draw a frame into `picture`, uint8 [64, 64, 3] or the crop [84, 96, 3]; see `draw_pose`."""
    draw_pose(track_of(track_seed), touched_at, frame, pose, picture, palette)


def mirrored_pictures(observations: np.ndarray) -> np.ndarray:
    """Observations uint8 [n, SIZE, SIZE, 3], left and right exchanged.

    A track is as likely as its mirror image, and the picture has nothing to read in it. Tracks are
    driven anticlockwise: most bends turn left, and right in a mirror.
    """
    return np.ascontiguousarray(observations[:, :, ::-1])
