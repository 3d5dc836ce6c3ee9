"""The canvas that polygons are filled on, and the colours that its samples average to.

Gymnasium draws polygons on a surface of 1000x800 pixels and averages it to 96x96. Here the corners
fall on the same whole pixels of the same surface, but polygons are filled only at SAMPLES_Y x
SAMPLES_X points per pixel of the crop, which is rows 0:84 of the 96x96.
"""

import math
from typing import NamedTuple

import numpy as np
from gymnasium.envs.box2d import car_racing

from worldmodels.runtime.compiled import compiled

HEIGHT, WIDTH = 84, 96
SAMPLES_Y, SAMPLES_X = 3, 4
SAMPLES, HALF = np.uint32(SAMPLES_Y * SAMPLES_X), np.uint32(SAMPLES_Y * SAMPLES_X // 2)
ROWS, COLUMNS = HEIGHT * SAMPLES_Y, WIDTH * SAMPLES_X
ROW_PX = car_racing.WINDOW_H / car_racing.STATE_H / SAMPLES_Y  # surface pixels per sample row
COLUMN_PX = car_racing.WINDOW_W / car_racing.STATE_W / SAMPLES_X
WINDOW_W, WINDOW_H = float(car_racing.WINDOW_W), float(car_racing.WINDOW_H)

OUTSIDE, GROUND, GRASS_PATCH, ROAD = 0, 1, 2, 3  # what a sample shows
BORDER_WHITE, BORDER_RED, HULL, TYRE, RIM = 6, 7, 8, 9, 10
COLOURS = np.array(
    [
        (0, 0, 0),
        (102, 204, 102),
        (102, 230, 102),
        (102, 102, 102),  # ROAD + 0, + 1, + 2: shades of tiles that have not been touched yet
        (104, 104, 104),
        (107, 107, 107),
        (255, 255, 255),
        (255, 0, 0),
        (204, 0, 0),
        (0, 0, 0),
        (77, 77, 77),
    ],
    dtype=np.int64,
)

# The crop keeps every third column in one row, with a blank at either end of the 32, so that the
# resize of 3 columns to 2 reads consecutive memory.
CROP_SHAPE = (HEIGHT, 3, WIDTH // 3 + 2)  # uint32: red, green << 8, blue << 16


def pack_palette(colours: np.ndarray) -> np.ndarray:
    """Pack `colours` [11, 3], ordered as COLOURS, 0 to 255, for `average`: uint64 [11].

    Each channel has a field of 16 bits, so that one addition sums all three. pygame's
    smoothscale sums in fixed point and drops fractions: flat colours come out 2 darker.
    """
    shades = np.maximum(np.asarray(colours, dtype=np.int64) - 2, 0).astype(np.uint64)
    return shades @ (np.uint64(1) << np.array([0, 16, 32], dtype=np.uint64))


PALETTE = pack_palette(COLOURS)


class Scratch(NamedTuple):
    """Corners of the polygon to fill, and room to work in: allocated once per picture."""

    xs: np.ndarray  # float64 [8]: whole pixels of the surface
    ys: np.ndarray  # float64 [8]
    bounds: np.ndarray  # float64 [2, ROWS]: where each row of samples enters and leaves
    spans: np.ndarray  # int32 [2, ROWS]: the same in samples


@compiled
def fill(canvas, scratch, count, colour):
    """Fill the convex polygon of the first `count` corners in `scratch` on the canvas.

    The surface's y points up here. A pixel that the outline passes through belongs to the
    polygon, as in SDL_gfx's and pygame's polygons.
    """
    xs, ys = scratch.xs, scratch.ys
    lefts, rights = scratch.bounds[0], scratch.bounds[1]
    starts, stops = scratch.spans[0], scratch.spans[1]
    x_low, x_high, y_low, y_high = xs[0], xs[0], ys[0], ys[0]
    for i in range(1, count):
        x_low, x_high = min(x_low, xs[i]), max(x_high, xs[i])
        y_low, y_high = min(y_low, ys[i]), max(y_high, ys[i])
    first = max(int(math.ceil((WINDOW_H - 1.0 - y_high) / ROW_PX - 0.5)), 0)
    last = min(int(math.ceil((WINDOW_H - y_low) / ROW_PX - 0.5)), ROWS)
    if first >= last or x_high < -1.0 or x_low > WINDOW_W:
        return
    flat = y_low == y_high
    for row in range(first, last):
        lefts[row] = x_low if flat else 1e9
        rights[row] = x_high if flat else -1e9
    for i in range(count):
        j = i + 1 if i + 1 < count else 0
        x, y, low, high = xs[i], ys[i], min(ys[i], ys[j]), max(ys[i], ys[j])
        if low == high:
            continue  # a level edge: the edges next to it have its ends
        slope = (xs[j] - x) / (ys[j] - y)
        top, bottom = first, last
        if high < y_high:
            top = max(int(math.ceil((WINDOW_H - 0.5 - high) / ROW_PX - 0.5)), first)
        if low > y_low:
            bottom = min(int(math.ceil((WINDOW_H - 0.5 - low) / ROW_PX - 0.5)), last)
        for row in range(top, bottom):
            at = min(max(WINDOW_H - (row + 0.5) * ROW_PX - 0.5, low), high)
            crossing = x + (at - y) * slope
            lefts[row] = crossing if crossing < lefts[row] else lefts[row]
            rights[row] = crossing if crossing > rights[row] else rights[row]
    for row in range(first, last):
        left, right = lefts[row], rights[row] + 1.0
        left = left if left > 0.0 else 0.0
        right = right if right > 0.0 else 0.0
        right = right if right < WINDOW_W else WINDOW_W
        starts[row] = np.int32(left / COLUMN_PX + 0.5)
        stops[row] = np.int32(right / COLUMN_PX + 0.5)
    for row in range(first, last):
        canvas[row, starts[row] : stops[row]] = colour


@compiled
def average(canvas, palette, crop):
    """Average the samples of each pixel of the canvas [ROWS, COLUMNS] into `crop` (CROP_SHAPE)."""
    words = canvas.view(np.uint32)  # one word = the SAMPLES_X samples of a pixel
    flat = np.zeros(256, dtype=np.uint32)
    for colour in range(palette.shape[0]):
        flat[colour] = _pack(palette[colour] * np.uint64(SAMPLES))
    mixed = np.empty(WIDTH, dtype=np.uint32)
    for row in range(HEIGHT):
        first = words[row * SAMPLES_Y]
        for column in range(WIDTH):  # zero where all samples of a pixel are equal, as most are
            word = first[column]
            mixed[column] = word ^ ((word & np.uint32(255)) * np.uint32(0x01010101))
        for y in range(1, SAMPLES_Y):
            other = words[row * SAMPLES_Y + y]
            for column in range(WIDTH):
                mixed[column] |= first[column] ^ other[column]
        for third in range(3):
            out = crop[row, third]
            for k in range(WIDTH // 3):
                out[k + 1] = flat[first[3 * k + third] & np.uint32(255)]
        for column in range(WIDTH):
            if mixed[column]:
                total = np.uint64(0)  # the three channels in fields of 16 bits
                for y in range(SAMPLES_Y):
                    word = words[row * SAMPLES_Y + y, column]
                    for x in range(SAMPLES_X):
                        total += palette[(word >> np.uint32(8 * x)) & np.uint32(255)]
                crop[row, column % 3, column // 3 + 1] = _pack(total)


@compiled
def _pack(total):
    """Return one pixel of the crop: the sum of its samples over their number, rounded."""
    pixel = np.uint32(0)
    for channel in range(3):
        field = np.uint32(total >> np.uint64(16 * channel)) & np.uint32(65535)
        pixel |= np.uint32((field + HALF) // SAMPLES) << np.uint32(8 * channel)
    return pixel
