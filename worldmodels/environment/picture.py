"""Draw the picture of CarRacing straight at 64x64.

Gymnasium draws polygons on a surface of 1000x800 pixels, averages it to 96x96 and the agent's
preprocessing cuts off the instrument bar (rows 84 to 96) and resizes what is left to 64x64. Here
the polygons are cut to the same whole pixels of the same surface, but filled only at
`SAMPLES_Y` x `SAMPLES_X` points of each pixel of the 84x96 crop. The resize is Pillow's, exactly.

Source of the geometry: Gymnasium 1.4.0 `envs/box2d/car_racing.py` and `car_dynamics.py`.
"""

import math

import numba
import numpy as np
from gymnasium.envs.box2d import car_dynamics, car_racing

from worldmodels.environment.resize import bilinear_weights, resize

HEIGHT, WIDTH = 84, 96  # the crop: rows 0:84 of the 96x96 observation
SIZE = 64
SAMPLES_Y, SAMPLES_X = 3, 4
SAMPLES, HALF = np.uint32(SAMPLES_Y * SAMPLES_X), np.uint32(SAMPLES_Y * SAMPLES_X // 2)
ROWS, COLUMNS = HEIGHT * SAMPLES_Y, WIDTH * SAMPLES_X
ROW_PX = car_racing.WINDOW_H / car_racing.STATE_H / SAMPLES_Y  # surface pixels a sample row
COLUMN_PX = car_racing.WINDOW_W / car_racing.STATE_W / SAMPLES_X
WINDOW_W, WINDOW_H = float(car_racing.WINDOW_W), float(car_racing.WINDOW_H)
PLAYFIELD, GRASS = car_racing.PLAYFIELD, car_racing.GRASS_DIM

OUTSIDE, GROUND, GRASS_PATCH, ROAD, BORDER_WHITE, BORDER_RED, HULL, TYRE, RIM = (
    0,
    1,
    2,
    3,
    6,
    7,
    8,
    9,
    10,
)
COLOURS = np.array(
    [
        (0, 0, 0),
        (102, 204, 102),
        (102, 230, 102),
        (102, 102, 102),  # ROAD + 0, + 1, + 2: shades of tiles that no wheel has touched yet
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
# pygame's smoothscale sums in fixed point and drops fractions: flat colours come out 2 darker.
SHADES = np.maximum(COLOURS - 2, 0).astype(np.uint8)
PACKED = SHADES.astype(np.uint64) @ (np.uint64(1) << np.array([0, 16, 32], dtype=np.uint64))

HULL_POLYGONS = [
    np.array(polygon, dtype=np.float64) * car_dynamics.SIZE
    for polygon in (
        car_dynamics.HULL_POLY1,
        car_dynamics.HULL_POLY2,
        car_dynamics.HULL_POLY3,
        car_dynamics.HULL_POLY4,
    )
]
HULL_CORNERS = np.concatenate(HULL_POLYGONS)
HULL_STARTS = np.cumsum([0] + [len(polygon) for polygon in HULL_POLYGONS])
WHEEL_POSITIONS = np.array(car_dynamics.WHEELPOS, dtype=np.float64) * car_dynamics.SIZE
WHEEL_W, WHEEL_R = (
    car_dynamics.WHEEL_W * car_dynamics.SIZE,
    car_dynamics.WHEEL_R * car_dynamics.SIZE,
)

X_FIRST, X_WEIGHTS = bilinear_weights(WIDTH, SIZE)
Y_FIRST, Y_WEIGHTS = bilinear_weights(HEIGHT, SIZE)


def zoom_table() -> np.ndarray:
    """Zoom [51] in surface pixels a metre at each of the first frames; the last one holds on."""
    zooms, time = [], 0.0
    for _ in range(51):
        time += 1.0 / car_racing.FPS
        zooms.append(
            0.1 * car_racing.SCALE * max(1 - time, 0)
            + car_racing.ZOOM * car_racing.SCALE * min(time, 1)
        )
    return np.array(zooms)


ZOOMS = zoom_table()


@numba.njit(cache=True, nogil=True)
def _fill(canvas, xs, ys, count, colour):
    """Fill the convex polygon with whole-pixel corners (xs, ys)[:count] on the sample canvas.

    The surface's y points up here. A pixel that the outline passes through belongs to the
    polygon, as in SDL_gfx's and pygame's polygons.
    """
    y_low, y_high = ys[0], ys[0]
    for i in range(1, count):
        y_low = min(y_low, ys[i])
        y_high = max(y_high, ys[i])
    first = max(int(math.ceil((WINDOW_H - (y_high + 1.0)) / ROW_PX - 0.5)), 0)
    last = min(int(math.ceil((WINDOW_H - y_low) / ROW_PX - 0.5)), ROWS)
    for row in range(first, last):
        y = WINDOW_H - (row + 0.5) * ROW_PX - 0.5
        y = min(max(y, y_low), y_high)
        left, right = 1e9, -1e9
        for i in range(count):
            j = i + 1 if i + 1 < count else 0
            x1, y1, x2, y2 = xs[i], ys[i], xs[j], ys[j]
            if (y1 <= y and y <= y2) or (y2 <= y and y <= y1):
                if y1 == y2:
                    left = min(left, min(x1, x2))
                    right = max(right, max(x1, x2))
                else:
                    x = x1 + (y - y1) / (y2 - y1) * (x2 - x1)
                    left = min(left, x)
                    right = max(right, x)
        start = max(int(math.ceil(left / COLUMN_PX - 0.5)), 0)
        stop = min(int(math.ceil((right + 1.0) / COLUMN_PX - 0.5)), COLUMNS)
        for column in range(start, stop):
            canvas[row, column] = colour


@numba.njit(cache=True, nogil=True)
def _paint_ground(canvas, x, y, cos, sin, zoom, xs, ys):
    """Paint the playfield and its grass patches, seen from (x, y)."""
    reach = math.sqrt(500.0**2 + 600.0**2) / zoom  # to the farthest corner of the crop
    if abs(x) + reach < PLAYFIELD and abs(y) + reach < PLAYFIELD:
        canvas[:] = GROUND
    else:
        canvas[:] = OUTSIDE
        for i in range(4):
            px = (PLAYFIELD if i < 2 else -PLAYFIELD) - x
            py = (PLAYFIELD if i == 0 or i == 3 else -PLAYFIELD) - y
            xs[i] = np.trunc((px * cos - py * sin) * zoom + WINDOW_W / 2)
            ys[i] = np.trunc((px * sin + py * cos) * zoom + WINDOW_H / 4)
        _fill(canvas, xs, ys, 4, GROUND)
    period = 2 * GRASS
    first_x = max(int(math.floor((x - reach) / period)), -10)
    last_x = min(int(math.floor((x + reach) / period)), 9)
    first_y = max(int(math.floor((y - reach) / period)), -10)
    last_y = min(int(math.floor((y + reach) / period)), 9)
    for grid_x in range(first_x, last_x + 1):
        for grid_y in range(first_y, last_y + 1):
            for i in range(4):
                px = grid_x * period + (GRASS if i == 0 or i == 3 else 0.0) - x
                py = grid_y * period + (GRASS if i >= 2 else 0.0) - y
                xs[i] = np.trunc((px * cos - py * sin) * zoom + WINDOW_W / 2)
                ys[i] = np.trunc((px * sin + py * cos) * zoom + WINDOW_H / 4)
            _fill(canvas, xs, ys, 4, GRASS_PATCH)


@numba.njit(cache=True, nogil=True)
def _paint_road(canvas, corners, tiles, touched_at, frame, x, y, cos, sin, zoom, xs, ys):
    """Paint road and border polygons in the order Gymnasium does."""
    for p in range(corners.shape[0]):
        px, py = corners[p, 0, 0] - x, corners[p, 0, 1] - y
        screen_x = (px * cos - py * sin) * zoom + WINDOW_W / 2
        screen_y = (px * sin + py * cos) * zoom + WINDOW_H / 4
        margin = 20.0 * zoom  # more than a tile's diagonal
        if (
            screen_x < -margin
            or screen_x > WINDOW_W + margin
            or screen_y < -margin
            or screen_y > WINDOW_H + margin
        ):
            continue
        for i in range(4):
            px, py = corners[p, i, 0] - x, corners[p, i, 1] - y
            xs[i] = np.trunc((px * cos - py * sin) * zoom + WINDOW_W / 2)
            ys[i] = np.trunc((px * sin + py * cos) * zoom + WINDOW_H / 4)
        tile = tiles[p]
        if tile == -1:
            colour = BORDER_WHITE
        elif tile == -2:
            colour = BORDER_RED
        elif touched_at[tile] <= frame:
            colour = ROAD
        else:
            colour = ROAD + tile % 3
        _fill(canvas, xs, ys, 4, colour)


@numba.njit(cache=True, nogil=True)
def _paint_wheel(canvas, wheel, angle, phase, zoom, xs, ys):
    """Paint a wheel at its joint, turned by `angle` against the hull, rolled by `phase`."""
    at_x, at_y = WHEEL_POSITIONS[wheel, 0], WHEEL_POSITIONS[wheel, 1]
    cos, sin = math.cos(angle), math.sin(angle)
    low, high = -WHEEL_R, WHEEL_R
    for part in range(2):
        if part == 1:  # the rim, seen only where it rolls over the top (Car.draw)
            s1, s2 = math.sin(phase), math.sin(phase + 1.2)
            c1, c2 = math.cos(phase), math.cos(phase + 1.2)
            if s1 > 0 and s2 > 0:
                return
            if s1 > 0:
                c1 = 1.0 if c1 > 0 else -1.0
            if s2 > 0:
                c2 = 1.0 if c2 > 0 else -1.0
            low, high = WHEEL_R * c2, WHEEL_R * c1
        for i in range(4):
            px = WHEEL_W if i == 1 or i == 2 else -WHEEL_W
            py = high if i < 2 else low
            xs[i] = np.trunc((at_x + px * cos - py * sin) * zoom + WINDOW_W / 2)
            ys[i] = np.trunc((at_y + px * sin + py * cos) * zoom + WINDOW_H / 4)
        _fill(canvas, xs, ys, 4, TYRE if part == 0 else RIM)


@numba.njit(cache=True, nogil=True)
def _paint_car(canvas, wheel_angles, wheel_phases, zoom, xs, ys):
    """Paint wheels and hull; the camera turns with the hull, so the hull stands upright."""
    for wheel in range(4):
        _paint_wheel(canvas, wheel, wheel_angles[wheel], wheel_phases[wheel], zoom, xs, ys)
    for part in range(HULL_STARTS.shape[0] - 1):
        count = HULL_STARTS[part + 1] - HULL_STARTS[part]
        for i in range(count):
            xs[i] = np.trunc(HULL_CORNERS[HULL_STARTS[part] + i, 0] * zoom + WINDOW_W / 2)
            ys[i] = np.trunc(HULL_CORNERS[HULL_STARTS[part] + i, 1] * zoom + WINDOW_H / 4)
        _fill(canvas, xs, ys, count, HULL)


@numba.njit(cache=True, nogil=True)
def _average(canvas, crop):
    """Average the samples of each pixel into `crop` [84, 96, 3]."""
    words = canvas.view(np.uint32)  # one word = the SAMPLES_X samples of a pixel
    for row in range(HEIGHT):
        top = row * SAMPLES_Y
        for column in range(WIDTH):
            word = words[top, column]
            first = word & np.uint32(255)
            uniform = word == first * np.uint32(0x01010101)
            for y in range(1, SAMPLES_Y):
                uniform &= words[top + y, column] == word
            if uniform:
                for channel in range(3):
                    crop[row, column, channel] = SHADES[first, channel]
            else:
                total = np.uint64(0)  # the three channels in fields of 16 bits
                for y in range(SAMPLES_Y):
                    word = words[top + y, column]
                    for _ in range(SAMPLES_X):
                        total += PACKED[word & np.uint32(255)]
                        word >>= np.uint32(8)
                for channel in range(3):
                    field = np.uint32(total >> np.uint64(16 * channel)) & np.uint32(65535)
                    crop[row, column, channel] = (field + HALF) // SAMPLES


@numba.njit(cache=True, nogil=True)
def paint(corners, tiles, touched_at, frame, hull, wheel_angles, wheel_phases, canvas, crop):
    """Paint the crop [84, 96, 3] of one frame; see `draw` for the arguments."""
    zoom = ZOOMS[min(frame, ZOOMS.shape[0] - 1)]
    x, y = float(hull[0]), float(hull[1])
    cos, sin = math.cos(-float(hull[2])), math.sin(-float(hull[2]))
    xs, ys = np.empty(8), np.empty(8)
    _paint_ground(canvas, x, y, cos, sin, zoom, xs, ys)
    _paint_road(canvas, corners, tiles, touched_at, frame, x, y, cos, sin, zoom, xs, ys)
    _paint_car(canvas, wheel_angles, wheel_phases, zoom, xs, ys)
    _average(canvas, crop)


@numba.njit(cache=True, nogil=True)
def draw(corners, tiles, touched_at, frame, hull, wheel_angles, wheel_phases, picture):
    """Draw one frame into `picture` [64, 64, 3] uint8.

    `corners` [P, 4, 2] in metres and `tiles` [P] come from `track.Track`; `touched_at` [N] is the
    first frame at which each tile had been touched; `frame` counts from 0 at the reset;
    `hull` is x, y in metres and the angle in radians; `wheel_angles` and `wheel_phases` [4] are
    radians, the first against the hull.
    """
    canvas = np.empty((ROWS, COLUMNS), dtype=np.uint8)
    crop = np.empty((HEIGHT, WIDTH, 3), dtype=np.uint8)
    scratch = np.empty((HEIGHT, SIZE, 3), dtype=np.uint8)
    paint(corners, tiles, touched_at, frame, hull, wheel_angles, wheel_phases, canvas, crop)
    resize(crop, picture, X_FIRST, X_WEIGHTS, Y_FIRST, Y_WEIGHTS, scratch)
