"""Pictures for people: from what V decodes, and side by side as PNG."""

import io
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from worldmodels.pipeline.storage import write_bytes


def to_pictures(x: Tensor) -> np.ndarray:
    """[n, 3, h, w] in [0, 1] to uint8 [n, h, w, 3]."""
    return (x.permute(0, 2, 3, 1) * 255).round().byte().numpy()


def write_grid(path: Path, pictures: np.ndarray, columns: int) -> None:
    """Write uint8 [n, h, w, 3] row by row, `columns` a row, with a gap of 2 pixels."""
    count, height, width, _ = pictures.shape
    rows = -(-count // columns)
    canvas = np.full((rows * (height + 2) - 2, columns * (width + 2) - 2, 3), 255, dtype=np.uint8)
    for index, picture in enumerate(pictures):
        top, left = (index // columns) * (height + 2), (index % columns) * (width + 2)
        canvas[top : top + height, left : left + width] = picture
    image = Image.fromarray(canvas)
    content = io.BytesIO()
    image.save(content, "PNG")
    write_bytes(path, content.getvalue())
