"""The pose of the car at a frame: all that its picture takes beside the track."""

import numpy as np

from worldmodels.environment.picture import painter as picture
from worldmodels.environment.picture.canvas import PALETTE
from worldmodels.environment.picture.resize import SIZE
from worldmodels.environment.picture.track import Track

POSE_DTYPE = np.dtype(
    [
        ("hull", np.float32, 3),  # x, y in metres, angle in radians
        ("wheel_angle", np.float16, 4),  # radians against the hull
        ("wheel_phase", np.uint8, 4),  # 256ths of a turn
        ("on_road", np.uint8),  # how many wheels touch a road tile: shown to no model
    ]
)
PHASE_UNIT = 2 * np.pi / 256


def draw_pose(
    track: Track, touched_at, frame: int, pose, out: np.ndarray, palette=PALETTE
) -> None:
    """Draw the frame of a pose (POSE_DTYPE) into `out`, uint8 [64, 64, 3] or the crop [84, 96, 3].

    `touched_at` [N] uint16 tells at which frame each tile was first touched (NEVER: not yet);
    `palette` comes from `canvas.pack_palette`.
    """
    draw = picture.draw if len(out) == SIZE else picture.draw_crop
    draw(
        track.corners,
        track.places,
        track.tiles,
        touched_at,
        frame,
        pose["hull"],
        pose["wheel_angle"].astype(np.float32),
        pose["wheel_phase"] * np.float32(PHASE_UNIT),
        palette,
        out,
    )
