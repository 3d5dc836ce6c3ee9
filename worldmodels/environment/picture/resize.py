"""Resize the crop exactly as Pillow's `Image.resize((64, 64), BILINEAR)` does.

Pillow shrinks in two passes of 8-bit fixed-point sums, columns first, with a triangle filter as
wide as the scale. The same integer arithmetic here gives the same bits. Source: Pillow
`src/libImaging/Resample.c`.
"""

import numpy as np

from worldmodels.environment.interface import SIZE
from worldmodels.environment.picture.canvas import CROP_SHAPE, HEIGHT, WIDTH
from worldmodels.runtime.compiled import compiled

PAIRS = SIZE // 2
PRECISION_BITS = 32 - 8 - 2
ROUNDING = 1 << (PRECISION_BITS - 1)


def bilinear_weights(source: int, target: int) -> np.ndarray:
    """Return fixed-point weights int32 [target, source] of each source index in each target."""
    scale = source / target
    support = max(scale, 1.0)
    weights = np.zeros((target, source), dtype=np.int32)
    for index in range(target):
        centre = (index + 0.5) * scale
        low = max(int(centre - support + 0.5), 0)
        high = min(int(centre + support + 0.5), source)
        raw = [max(1.0 - abs((x - centre + 0.5) / support), 0.0) for x in range(low, high)]
        total = sum(raw)
        weights[index, low:high] = [
            int(0.5 + weight / total * (1 << PRECISION_BITS)) for weight in raw
        ]
    return weights


def column_weights() -> np.ndarray:
    """Return weights [2, 3, 32] of the three source columns of target columns 2k and 2k + 1.

    Three source columns make two target columns: 2k is made of 3k - 1, 3k, 3k + 1, and 2k + 1 of
    3k + 1, 3k + 2, 3k + 3.
    """
    padded = np.pad(bilinear_weights(WIDTH, SIZE), ((0, 0), (1, 1)))
    taps = np.arange(3)[:, None] + 3 * np.arange(PAIRS)
    weights = np.stack([padded[2 * np.arange(PAIRS) + odd, taps + 2 * odd] for odd in (0, 1)])
    assert weights.sum() == padded.sum()  # no source column is left out
    return weights


def row_weights() -> tuple[np.ndarray, np.ndarray]:
    """Return the first source row [64] and the weights [64, taps] of each target row."""
    weights = bilinear_weights(HEIGHT, SIZE)
    taps = int((weights > 0).sum(axis=1).max())
    first = np.minimum(np.argmax(weights > 0, axis=1), HEIGHT - taps)
    return first, np.take_along_axis(weights, first[:, None] + np.arange(taps), axis=1)


COLUMN_WEIGHTS = column_weights()
# Offsets into a row of the crop of the three source columns of targets 2k and 2k + 1, at k = 0.
_BLOCK = CROP_SHAPE[2]
TAP_AT = np.array([(2 * _BLOCK, 1, _BLOCK + 1), (_BLOCK + 1, 2 * _BLOCK + 1, 2)])
ROW_FIRST, ROW_WEIGHTS = row_weights()


@compiled
def resize(crop, target):
    """Resize `crop` (canvas.CROP_SHAPE, its blanks 0) into `target` [64, 64, 3] uint8."""
    plane = np.empty((3, CROP_SHAPE[1] * CROP_SHAPE[2]), dtype=np.int32)
    rows = np.empty((HEIGHT, 3, 2, PAIRS), dtype=np.uint8)
    for row in range(HEIGHT):
        packed = crop[row].reshape(-1)
        for channel in range(3):
            for i in range(plane.shape[1]):
                plane[channel, i] = (packed[i] >> np.uint32(8 * channel)) & np.uint32(255)
        for channel in range(3):
            for odd in range(2):
                out, weights = rows[row, channel, odd], COLUMN_WEIGHTS[odd]
                left = plane[channel, TAP_AT[odd, 0] :]
                middle = plane[channel, TAP_AT[odd, 1] :]
                right = plane[channel, TAP_AT[odd, 2] :]
                for k in range(PAIRS):
                    out[k] = (
                        ROUNDING
                        + left[k] * weights[0, k]
                        + middle[k] * weights[1, k]
                        + right[k] * weights[2, k]
                    ) >> PRECISION_BITS
    flat = rows.reshape(HEIGHT, -1)
    total = np.empty(flat.shape[1], dtype=np.int32)
    pixels = np.empty(flat.shape[1], dtype=np.uint8)
    for row in range(SIZE):
        total[:] = ROUNDING
        for tap in range(ROW_WEIGHTS.shape[1]):
            weight, source = ROW_WEIGHTS[row, tap], flat[ROW_FIRST[row] + tap]
            for i in range(total.shape[0]):
                total[i] += source[i] * weight
        for i in range(total.shape[0]):
            pixels[i] = total[i] >> PRECISION_BITS
        out = target[row].reshape(-1)
        for k in range(PAIRS):
            for odd in range(2):
                for channel in range(3):
                    out[6 * k + 3 * odd + channel] = pixels[(2 * channel + odd) * PAIRS + k]
