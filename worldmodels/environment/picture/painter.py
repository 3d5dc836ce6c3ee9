"""Draw the picture of CarRacing straight at 64x64.

Gymnasium draws polygons on a surface of 1000x800 pixels, averages it to 96x96 and the agent's
preprocessing cuts off the instrument bar (rows 84 to 96) and resizes what is left to 64x64. Here
the same polygons are filled on a coarser canvas (see `canvas`) and averaged; the resize is
Pillow's, exactly (see `resize`).

Source of the geometry: Gymnasium 1.4.0 `envs/box2d/car_racing.py` and `car_dynamics.py`.
"""

import math

import numpy as np
from gymnasium.envs.box2d import car_dynamics, car_racing

from worldmodels.environment.picture.canvas import (
    BORDER_RED,
    BORDER_WHITE,
    COLUMNS,
    CROP_SHAPE,
    GRASS_PATCH,
    GROUND,
    HULL,
    OUTSIDE,
    RIM,
    ROAD,
    ROWS,
    TYRE,
    WINDOW_H,
    WINDOW_W,
    average,
    fill,
)
from worldmodels.environment.picture.resize import resize
from worldmodels.runtime.compiled import compiled

PLAYFIELD, GRASS = car_racing.PLAYFIELD, car_racing.GRASS_DIM

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


@compiled
def _paint_ground(canvas, x, y, cos, sin, zoom, bounds, spans, xs, ys):
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
        fill(canvas, bounds, spans, xs, ys, 4, GROUND)
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
            fill(canvas, bounds, spans, xs, ys, 4, GRASS_PATCH)


@compiled
def _paint_road(
    canvas, corners, places, tiles, touched_at, frame, x, y, cos, sin, zoom, bounds, spans, xs, ys
):
    """Paint road and border polygons in the order Gymnasium does."""
    for p in range(places.shape[0]):
        px, py = places[p, 0] - x, places[p, 1] - y
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
        fill(canvas, bounds, spans, xs, ys, 4, colour)


@compiled
def _paint_wheel(canvas, wheel, angle, phase, zoom, bounds, spans, xs, ys):
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
        fill(canvas, bounds, spans, xs, ys, 4, TYRE if part == 0 else RIM)


@compiled
def _paint_car(canvas, wheel_angles, wheel_phases, zoom, bounds, spans, xs, ys):
    """Paint wheels and hull; the camera turns with the hull, so the hull stands upright."""
    for wheel in range(4):
        _paint_wheel(
            canvas, wheel, wheel_angles[wheel], wheel_phases[wheel], zoom, bounds, spans, xs, ys
        )
    for part in range(HULL_STARTS.shape[0] - 1):
        count = HULL_STARTS[part + 1] - HULL_STARTS[part]
        for i in range(count):
            xs[i] = np.trunc(HULL_CORNERS[HULL_STARTS[part] + i, 0] * zoom + WINDOW_W / 2)
            ys[i] = np.trunc(HULL_CORNERS[HULL_STARTS[part] + i, 1] * zoom + WINDOW_H / 4)
        fill(canvas, bounds, spans, xs, ys, count, HULL)


@compiled
def paint(
    corners, places, tiles, touched_at, frame, hull, wheel_angles, wheel_phases, palette, crop
):
    """Paint one frame into `crop` (canvas.CROP_SHAPE, its blanks untouched).

    `corners` [P, 4, 2] in metres, `places` [P, 2] and `tiles` [P] come from `track.Track`;
    `touched_at` [N] is the first frame at which each tile had been touched; `frame` counts from 0
    at the reset;
    `hull` is x, y in metres and the angle in radians; `wheel_angles` and `wheel_phases` [4] are
    radians, the first against the hull; `palette` comes from `canvas.pack_palette`.
    """
    zoom = ZOOMS[min(frame, ZOOMS.shape[0] - 1)]
    x, y = np.float64(hull[0]), np.float64(hull[1])
    cos, sin = math.cos(-np.float64(hull[2])), math.sin(-np.float64(hull[2]))
    canvas = np.empty((ROWS, COLUMNS), dtype=np.uint8)
    bounds, spans = np.empty((2, ROWS)), np.empty((2, ROWS), dtype=np.int32)
    xs, ys = np.empty(8), np.empty(8)
    _paint_ground(canvas, x, y, cos, sin, zoom, bounds, spans, xs, ys)
    _paint_road(
        canvas,
        corners,
        places,
        tiles,
        touched_at,
        frame,
        x,
        y,
        cos,
        sin,
        zoom,
        bounds,
        spans,
        xs,
        ys,
    )
    _paint_car(canvas, wheel_angles, wheel_phases, zoom, bounds, spans, xs, ys)
    average(canvas, palette, crop)


@compiled
def draw(
    corners, places, tiles, touched_at, frame, hull, wheel_angles, wheel_phases, palette, picture
):
    """Draw one frame into `picture` [64, 64, 3] uint8; see `paint` for the others."""
    crop = np.zeros(CROP_SHAPE, dtype=np.uint32)
    paint(
        corners, places, tiles, touched_at, frame, hull, wheel_angles, wheel_phases, palette, crop
    )
    resize(crop, picture)


@compiled
def draw_crop(
    corners, places, tiles, touched_at, frame, hull, wheel_angles, wheel_phases, palette, out
):
    """Draw one frame, not resized, into `out` [84, 96, 3] uint8; see `paint` for the others."""
    crop = np.zeros(CROP_SHAPE, dtype=np.uint32)
    paint(
        corners, places, tiles, touched_at, frame, hull, wheel_angles, wheel_phases, palette, crop
    )
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            pixel = crop[row, column % 3, column // 3 + 1]
            for channel in range(3):
                out[row, column, channel] = (pixel >> np.uint32(8 * channel)) & np.uint32(255)
