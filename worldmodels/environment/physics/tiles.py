"""Tiles that the parts of a car touch: Box2D's contacts, and what Gymnasium notes of them."""

import numpy as np
from Box2D import b2World
from gymnasium.envs.box2d.car_dynamics import Car

from worldmodels.environment.physics.bodies import COS, LANES, SIN, X, Y
from worldmodels.environment.physics.contact import apart, touching
from worldmodels.environment.picture.track import NEVER
from worldmodels.runtime.compiled import compiled

REACH = np.float32(4.0)  # metres; no part of the car is farther from the hull's origin
SKIN = 0.1  # metres; more than the skins that Box2D puts around shapes


def _parts() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return corners [5, 8, 2] of a wheel and of the hull's four parts, how many each has [5], and
    a circle around each, skin included, [5, 3]: x, y, radius. Metres, in the body's frame.
    """
    world = b2World((0, 0))
    car = Car(world, 0.0, 0.0, 0.0)
    shapes = [
        fixture.shape.vertices for body in (car.wheels[0], car.hull) for fixture in body.fixtures
    ]
    corners = np.zeros((len(shapes), 8, 2), dtype=np.float32)
    for part, shape in enumerate(shapes):
        corners[part, : len(shape)] = shape
    middles = np.array([np.mean(shape, axis=0) for shape in shapes])
    radii = [np.linalg.norm(shape - at, axis=1).max() for shape, at in zip(shapes, middles)]
    circles = np.column_stack([middles, np.array(radii) + SKIN]).astype(np.float32)
    return corners, np.array([len(shape) for shape in shapes]), circles


PARTS, PART_COUNTS, PART_CIRCLES = _parts()


@compiled
def touch(state, tracks, slot, bodies, lane):
    """Find the tiles that the car of a slot touches; write what Gymnasium's `_contact` notes.

    Wheels (i < 4) visit tiles and drive on them; the hull (i = 4) only shades them. `state` and
    `tracks` are those of the vector environment, `bodies` the block of the slot.
    """
    on_road, visited, touched_at = state.on_road[slot], state.visited[slot], state.touched_at[slot]
    shapes, counts, circles = tracks.shapes[slot], tracks.shape_counts[slot], tracks.circles[slot]
    at_x, at_y = bodies[0, X * LANES + lane], bodies[0, Y * LANES + lane]
    on_road[:] = False
    for tile in range(tracks.lengths[slot]):
        dx, dy = circles[tile, 0] - at_x, circles[tile, 1] - at_y
        far = circles[tile, 2] + REACH
        if dx * dx + dy * dy > far * far:
            continue
        shape, count = shapes[tile], counts[tile]
        for i in range(5):
            # Skip the costly test wherever its result could change nothing.
            if i < 4 and on_road[i] and visited[tile]:
                continue
            if i == 4 and touched_at[tile] != NEVER:
                continue
            body = bodies[i + 1] if i < 4 else bodies[0]
            x, y = body[X * LANES + lane], body[Y * LANES + lane]
            sin, cos = body[SIN * LANES + lane], body[COS * LANES + lane]
            for part in range(0 if i < 4 else 1, 1 if i < 4 else 5):
                middle_x, middle_y, radius = PART_CIRCLES[part]
                part_x = x + cos * middle_x - sin * middle_y
                part_y = y + sin * middle_x + cos * middle_y
                if apart(shape, count, part_x, part_y, radius):
                    continue
                if not touching(shape, count, PARTS[part], PART_COUNTS[part], x, y, sin, cos):
                    continue
                if touched_at[tile] == NEVER:
                    touched_at[tile] = state.frame[slot]
                if i < 4:
                    on_road[i] = True
                    if not visited[tile]:
                        visited[tile] = True
                        state.visits[slot] += 1
                break
