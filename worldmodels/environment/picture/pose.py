"""The pose of the car: with the track, everything that a frame's picture depends on."""

import numpy as np

from worldmodels.environment.interface import SIZE
from worldmodels.environment.picture import painter
from worldmodels.environment.picture.canvas import PALETTE
from worldmodels.environment.picture.track import Track

POSE_DTYPE = np.dtype(
    [
        ("hull", np.float32, 3),  # x, y in metres, angle in radians
        ("wheel_angle", np.float16, 4),  # radians against the hull
        ("wheel_phase", np.uint8, 4),  # rolled, 256ths of a turn
        ("on_road", np.uint8),  # wheels that touch a tile; for statistics only
    ]
)
PHASE_UNIT = 2 * np.pi / 256  # radians


def draw_pose(
    track: Track, touched_at, frame: int, pose, out: np.ndarray, palette=PALETTE
) -> None:
    """Draw a frame from its pose (POSE_DTYPE) into `out`, uint8 [64, 64, 3] or [84, 96, 3].

    `touched_at` uint16 [N] is the first frame that shows each tile touched, or NEVER; `palette`
    comes from `canvas.pack_palette`.
    """
    draw = painter.draw if len(out) == SIZE else painter.draw_crop
    draw(
        (track.corners, track.places, track.tiles),
        touched_at,
        frame,
        pose["hull"],
        pose["wheel_angle"].astype(np.float32),
        pose["wheel_phase"] * np.float32(PHASE_UNIT),
        palette,
        out,
    )
