"""Crop and resize an observation exactly as Pillow does with `Image.resize(size, BILINEAR)`.

Pillow shrinks in two passes of 8-bit fixed-point sums, columns first, with a triangle filter as
wide as the scale. Source: Pillow `src/libImaging/Resample.c`; the same arithmetic, so that the
results are equal to the last bit.
"""

import math

import numba
import numpy as np

PRECISION_BITS = 32 - 8 - 2


def bilinear_weights(source: int, target: int) -> tuple[np.ndarray, np.ndarray]:
    """First source index [target] and fixed-point weights [target, taps] of every target pixel."""
    scale = source / target
    support = max(scale, 1.0)
    taps = math.ceil(support) * 2 + 1
    first = np.zeros(target, dtype=np.int64)
    weights = np.zeros((target, taps), dtype=np.int64)
    for index in range(target):
        centre = (index + 0.5) * scale
        low = max(int(centre - support + 0.5), 0)
        high = min(int(centre + support + 0.5), source)
        raw = [1.0 - abs((x - centre + 0.5) / support) for x in range(low, high)]
        raw = [max(weight, 0.0) for weight in raw]
        total = sum(raw)
        first[index] = low
        for tap, weight in enumerate(raw):
            weights[index, tap] = int(0.5 + weight / total * (1 << PRECISION_BITS))
    used = max(int(np.max(np.nonzero(weights)[1])) + 1, 1)
    first = np.minimum(first, source - used)
    shifted = np.zeros((target, used), dtype=np.int32)
    for index in range(target):  # keep every tap inside the source, so that no bound is checked
        centre = (index + 0.5) * scale
        low = max(int(centre - support + 0.5), 0)
        offset = low - first[index]
        count = min(used - offset, taps)
        shifted[index, offset : offset + count] = weights[index, :count]
    return first.astype(np.int32), shifted


@numba.njit(cache=True, nogil=True)
def resize(source, target, x_first, x_weights, y_first, y_weights, scratch):
    """Resize `source` [h, w, 3] uint8 into `target` [H, W, 3] uint8; `scratch` is [h, W, 3] uint8.

    The firsts and weights come from `bilinear_weights`.
    """
    half = 1 << (PRECISION_BITS - 1)
    for row in range(source.shape[0]):
        for column in range(target.shape[1]):
            left = x_first[column]
            red = green = blue = half
            for tap in range(x_weights.shape[1]):
                weight = x_weights[column, tap]
                red += source[row, left + tap, 0] * weight
                green += source[row, left + tap, 1] * weight
                blue += source[row, left + tap, 2] * weight
            scratch[row, column, 0] = red >> PRECISION_BITS
            scratch[row, column, 1] = green >> PRECISION_BITS
            scratch[row, column, 2] = blue >> PRECISION_BITS
    flat = scratch.reshape(scratch.shape[0], -1)
    out = target.reshape(target.shape[0], -1)
    for row in range(target.shape[0]):
        top = y_first[row]
        for column in range(out.shape[1]):
            total = half
            for tap in range(y_weights.shape[1]):
                total += flat[top + tap, column] * y_weights[row, tap]
            out[row, column] = total >> PRECISION_BITS
