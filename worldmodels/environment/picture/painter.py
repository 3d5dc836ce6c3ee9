"""Draw the picture of CarRacing directly at 64x64.

Gymnasium draws polygons on a surface of 1000x800 pixels and averages it to 96x96; the agent's
preprocessing cuts off the instrument bar (rows 84 to 96) and resizes the rest to 64x64. Here the
same polygons are filled on a coarser canvas (see `canvas`) and averaged; the resize is Pillow's,
exactly (see `resize`).

Source of the geometry: Gymnasium 1.4.0 `envs/box2d/car_racing.py` and `car_dynamics.py`.
"""

import math
from typing import NamedTuple

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
    Scratch,
    average,
    fill,
)
from worldmodels.environment.picture.resize import resize
from worldmodels.environment.picture.track import RED, WHITE
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
OUT_OF_VIEW = 20.0  # metres; more than the diagonal of a tile, of which `places` is one corner


class Camera(NamedTuple):
    """The place and direction that the picture is seen from: it moves and turns with the hull."""

    x: float  # metres
    y: float
    cos: float  # of minus the hull's angle
    sin: float
    zoom: float  # surface pixels per metre


def zoom_table() -> np.ndarray:
    """Return the zoom [51] in surface pixels per metre at each frame; the last one lasts."""
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
def _corner(scratch, i, camera, world_x, world_y):
    """Make a point of the world, in metres, the i-th corner of the polygon to fill.

    The car is at the middle of the surface, a quarter up; pygame drops the fractions of corners.
    """
    x, y = world_x - camera.x, world_y - camera.y
    cos, sin, zoom = camera.cos, camera.sin, camera.zoom
    scratch.xs[i] = np.trunc((x * cos - y * sin) * zoom + WINDOW_W / 2)
    scratch.ys[i] = np.trunc((x * sin + y * cos) * zoom + WINDOW_H / 4)


@compiled
def _paint_ground(canvas, camera, scratch):
    """Paint the playfield and its grass patches."""
    x, y = camera.x, camera.y
    reach = math.sqrt(500.0**2 + 600.0**2) / camera.zoom  # to the farthest corner of the crop
    if abs(x) + reach < PLAYFIELD and abs(y) + reach < PLAYFIELD:
        canvas[:] = GROUND
    else:
        canvas[:] = OUTSIDE
        for i in range(4):
            right, top = i < 2, i == 0 or i == 3
            _corner(
                scratch,
                i,
                camera,
                PLAYFIELD if right else -PLAYFIELD,
                PLAYFIELD if top else -PLAYFIELD,
            )
        fill(canvas, scratch, 4, GROUND)
    period = 2 * GRASS  # a chequerboard of 20 x 20 patches, of which only those in reach are drawn
    first_x = max(int(math.floor((x - reach) / period)), -10)
    last_x = min(int(math.floor((x + reach) / period)), 9)
    first_y = max(int(math.floor((y - reach) / period)), -10)
    last_y = min(int(math.floor((y + reach) / period)), 9)
    for grid_x in range(first_x, last_x + 1):
        for grid_y in range(first_y, last_y + 1):
            for i in range(4):
                right, top = i == 0 or i == 3, i >= 2
                _corner(
                    scratch,
                    i,
                    camera,
                    grid_x * period + (GRASS if right else 0.0),
                    grid_y * period + (GRASS if top else 0.0),
                )
            fill(canvas, scratch, 4, GRASS_PATCH)


@compiled
def _paint_road(canvas, track, touched_at, frame, camera, scratch):
    """Paint road and border polygons in Gymnasium's order: later ones cover earlier ones.

    `track`: corners, places and tiles, see `paint`.
    """
    corners, places, tiles = track
    x, y, cos, sin, zoom = camera
    margin = OUT_OF_VIEW * zoom
    for p in range(places.shape[0]):
        # One corner tells whether the polygon can be in view; most are not.
        px, py = places[p, 0] - x, places[p, 1] - y
        screen_x = (px * cos - py * sin) * zoom + WINDOW_W / 2
        screen_y = (px * sin + py * cos) * zoom + WINDOW_H / 4
        if (
            screen_x < -margin
            or screen_x > WINDOW_W + margin
            or screen_y < -margin
            or screen_y > WINDOW_H + margin
        ):
            continue
        for i in range(4):
            _corner(scratch, i, camera, corners[p, i, 0], corners[p, i, 1])
        tile = tiles[p]
        if tile == WHITE:
            colour = BORDER_WHITE
        elif tile == RED:
            colour = BORDER_RED
        elif touched_at[tile] <= frame:
            colour = ROAD
        else:
            colour = ROAD + tile % 3
        fill(canvas, scratch, 4, colour)


@compiled
def _paint_wheel(canvas, wheel, angle, phase, zoom, scratch):
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
            scratch.xs[i] = np.trunc((at_x + px * cos - py * sin) * zoom + WINDOW_W / 2)
            scratch.ys[i] = np.trunc((at_y + px * sin + py * cos) * zoom + WINDOW_H / 4)
        fill(canvas, scratch, 4, TYRE if part == 0 else RIM)


@compiled
def _paint_car(canvas, wheel_angles, wheel_phases, zoom, scratch):
    """Paint wheels and hull; the camera turns with the hull, so the hull stands upright."""
    for wheel in range(4):
        _paint_wheel(canvas, wheel, wheel_angles[wheel], wheel_phases[wheel], zoom, scratch)
    for part in range(HULL_STARTS.shape[0] - 1):
        count = HULL_STARTS[part + 1] - HULL_STARTS[part]
        for i in range(count):
            corner = HULL_CORNERS[HULL_STARTS[part] + i]
            scratch.xs[i] = np.trunc(corner[0] * zoom + WINDOW_W / 2)
            scratch.ys[i] = np.trunc(corner[1] * zoom + WINDOW_H / 4)
        fill(canvas, scratch, count, HULL)


@compiled
def paint(track, touched_at, frame, hull, wheel_angles, wheel_phases, palette, crop):
    """Paint one frame into `crop` (canvas.CROP_SHAPE); its blanks stay as they are.

    `track` is a tuple of corners [P, 4, 2] in metres, places [P, 2] and tiles [P], see
    `track.Track`; `touched_at` [N] is the first frame that shows each tile touched; `frame` counts
    from 0 at the reset; `hull` is x, y in metres and the angle in radians; `wheel_angles` [4] are
    radians against the hull, `wheel_phases` [4] radians rolled; `palette` comes from
    `canvas.pack_palette`.
    """
    zoom = ZOOMS[min(frame, ZOOMS.shape[0] - 1)]
    angle = -np.float64(hull[2])
    camera = Camera(
        np.float64(hull[0]), np.float64(hull[1]), math.cos(angle), math.sin(angle), zoom
    )
    canvas = np.empty((ROWS, COLUMNS), dtype=np.uint8)
    bounds, spans = np.empty((2, ROWS)), np.empty((2, ROWS), dtype=np.int32)
    scratch = Scratch(np.empty(8), np.empty(8), bounds, spans)
    _paint_ground(canvas, camera, scratch)
    _paint_road(canvas, track, touched_at, frame, camera, scratch)
    _paint_car(canvas, wheel_angles, wheel_phases, zoom, scratch)
    average(canvas, palette, crop)


@compiled
def draw(track, touched_at, frame, hull, wheel_angles, wheel_phases, palette, picture):
    """Draw one frame into `picture` uint8 [64, 64, 3]; see `paint` for the rest."""
    crop = np.zeros(CROP_SHAPE, dtype=np.uint32)
    paint(track, touched_at, frame, hull, wheel_angles, wheel_phases, palette, crop)
    resize(crop, picture)


@compiled
def draw_crop(track, touched_at, frame, hull, wheel_angles, wheel_phases, palette, out):
    """Draw one frame, not resized, into `out` uint8 [84, 96, 3]; see `paint` for the rest."""
    crop = np.zeros(CROP_SHAPE, dtype=np.uint32)
    paint(track, touched_at, frame, hull, wheel_angles, wheel_phases, palette, crop)
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            pixel = crop[row, column % 3, column // 3 + 1]
            for channel in range(3):
                out[row, column, channel] = (pixel >> np.uint32(8 * channel)) & np.uint32(255)
