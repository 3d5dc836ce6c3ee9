"""Contact between a road tile and a part of the car, by Box2D's own test.

Box2D computes the distance of two convex polygons by the algorithm of Gilbert, Johnson and Keerthi
(GJK) and lets them touch within their two skins of 0.01 m. The float32 arithmetic here is the same
in the same order, so that a tile counts at the same step. Source: Box2D 2.3 `b2Distance`,
`b2TestOverlap`.
"""

import math

import numpy as np

from worldmodels.runtime.compiled import compiled

MAX_ITERATIONS = 20
F = np.float32
ZERO, ONE = F(0), F(1)
EPSILON = np.finfo(np.float32).eps
TOUCHING = F(10) * EPSILON
SKINS = F(2) * F(0.005) + F(2) * F(0.005)
# Columns of a point of GJK's simplex: support points on the tile (A) and on the part (B), their
# difference, its barycentric coordinate. The numbers of the corners are kept apart, as integers.
AX, AY, BX, BY, X, Y, SHARE = range(7)


@compiled
def apart(tile, tile_count, x, y, reach):
    """True if the circle of radius `reach` around (x, y) lies beyond an edge of the tile.

    A cheap test that spares most pairs the costly one; it may miss a gap but never claims a false
    one.
    """
    for k in range(tile_count):
        j = k + 1 if k + 1 < tile_count else 0
        edge_x, edge_y = tile[j, 0] - tile[k, 0], tile[j, 1] - tile[k, 1]
        beyond = (x - tile[k, 0]) * edge_y - (y - tile[k, 1]) * edge_x
        if beyond > ZERO and beyond * beyond > reach * reach * (edge_x * edge_x + edge_y * edge_y):
            return True
    return False


@compiled
def touching(tile, tile_count, part, part_count, x, y, sin, cos):
    """True if the first `tile_count` corners of `tile` [4, 2] and `part_count` of `part` [8, 2]
    enclose shapes that touch.

    float32 metres. The part's corners are in the frame of its body, whose origin is at (x, y) and
    which is turned by the angle of `sin` and `cos`.
    """
    points, corners = np.empty((3, 7), dtype=np.float32), np.empty((3, 2), dtype=np.int64)
    before = np.empty((3, 2), dtype=np.int64)
    _support(points, corners, 0, tile, 0, part, 0, x, y, sin, cos)
    points[0, SHARE] = ONE
    count = 1
    for _ in range(MAX_ITERATIONS):
        before[:] = corners
        known = count
        if count == 2:
            count = _nearest_of_2(points, corners)
        elif count == 3:
            count = _nearest_of_3(points, corners)
        if count == 3:
            return True  # the triangle contains the origin: they overlap
        dx, dy = _direction(points, count)
        if dx * dx + dy * dy < EPSILON * EPSILON:
            break
        on_tile = _farthest(tile, tile_count, -dx, -dy)
        on_part = _farthest(part, part_count, cos * dx + sin * dy, -sin * dx + cos * dy)
        _support(points, corners, count, tile, on_tile, part, on_part, x, y, sin, cos)
        seen = False
        for k in range(known):
            seen |= before[k, 0] == on_tile and before[k, 1] == on_part
        if seen:  # no corner is nearer; Box2D's main criterion, too
            break
        count += 1
    return count == 3 or _distance(points, count) - SKINS < TOUCHING


@compiled
def _support(points, corners, k, tile, on_tile, part, on_part, x, y, sin, cos):
    """Make the pair of corners `on_tile` and `on_part` the k-th point of the simplex."""
    ax, ay = tile[on_tile, 0], tile[on_tile, 1]
    px, py = part[on_part, 0], part[on_part, 1]
    bx, by = (cos * px - sin * py) + x, (sin * px + cos * py) + y
    points[k, AX], points[k, AY], points[k, BX], points[k, BY] = ax, ay, bx, by
    points[k, X], points[k, Y] = bx - ax, by - ay
    corners[k, 0], corners[k, 1] = on_tile, on_part


@compiled
def _farthest(shape, count, dx, dy):
    """Return the corner of `shape` that lies farthest along (dx, dy)."""
    best, best_value = 0, shape[0, 0] * dx + shape[0, 1] * dy
    for k in range(1, count):
        value = shape[k, 0] * dx + shape[k, 1] * dy
        if value > best_value:
            best, best_value = k, value
    return best


@compiled
def _direction(points, count):
    """Return the direction from a simplex of one or two points towards the origin."""
    x, y = points[0, X], points[0, Y]
    if count == 1:
        return -x, -y
    ex, ey = points[1, X] - x, points[1, Y] - y
    if ex * -y - ey * -x > ZERO:
        return -ey, ex
    return ey, -ex


@compiled
def _distance(points, count):
    """Return the distance of tile and part, metres, from a simplex of one or two points."""
    one, two = points[0], points[1]
    dx, dy = one[AX] - one[BX], one[AY] - one[BY]
    if count == 2:
        dx = one[SHARE] * one[AX] + two[SHARE] * two[AX]
        dx -= one[SHARE] * one[BX] + two[SHARE] * two[BX]
        dy = one[SHARE] * one[AY] + two[SHARE] * two[AY]
        dy -= one[SHARE] * one[BY] + two[SHARE] * two[BY]
    return math.sqrt(dx * dx + dy * dy)


@compiled
def _keep(points, corners, k):
    """Reduce the simplex to its k-th point; return its size, 1."""
    points[0], corners[0] = points[k], corners[k]
    points[0, SHARE] = ONE
    return 1


@compiled
def _keep_both(points, corners, j, k, share_j, share_k):
    """Reduce the simplex to its points j < k; return its size, 2.

    The survivor that moves takes the free place, as in Box2D: the order decides later sums.
    """
    inverse = ONE / (share_j + share_k)
    points[j, SHARE], points[k, SHARE] = share_j * inverse, share_k * inverse
    if k == 2:
        if j == 0:
            points[1], corners[1] = points[2], corners[2]
        else:
            points[0], corners[0] = points[2], corners[2]
    return 2


@compiled
def _nearest_of_2(points, corners):
    """Reduce a segment to its part nearest to the origin; return how many points remain."""
    x1, y1, x2, y2 = points[0, X], points[0, Y], points[1, X], points[1, Y]
    ex, ey = x2 - x1, y2 - y1
    share_2 = -(x1 * ex + y1 * ey)
    if share_2 <= ZERO:
        return _keep(points, corners, 0)
    share_1 = x2 * ex + y2 * ey
    if share_1 <= ZERO:
        return _keep(points, corners, 1)
    return _keep_both(points, corners, 0, 1, share_1, share_2)


@compiled
def _nearest_of_3(points, corners):
    """Reduce a triangle to its part nearest to the origin; return how many points remain.

    3 means that the triangle contains the origin: the shapes overlap.
    """
    x1, y1, x2, y2 = points[0, X], points[0, Y], points[1, X], points[1, Y]
    x3, y3 = points[2, X], points[2, Y]
    e12_x, e12_y, e13_x, e13_y, e23_x, e23_y = x2 - x1, y2 - y1, x3 - x1, y3 - y1, x3 - x2, y3 - y2
    d12_1, d12_2 = x2 * e12_x + y2 * e12_y, -(x1 * e12_x + y1 * e12_y)
    d13_1, d13_2 = x3 * e13_x + y3 * e13_y, -(x1 * e13_x + y1 * e13_y)
    d23_1, d23_2 = x3 * e23_x + y3 * e23_y, -(x2 * e23_x + y2 * e23_y)
    area = e12_x * e13_y - e12_y * e13_x
    d123_1, d123_2 = area * (x2 * y3 - y2 * x3), area * (x3 * y1 - y3 * x1)
    d123_3 = area * (x1 * y2 - y1 * x2)
    if d12_2 <= ZERO and d13_2 <= ZERO:
        return _keep(points, corners, 0)
    if d12_1 > ZERO and d12_2 > ZERO and d123_3 <= ZERO:
        return _keep_both(points, corners, 0, 1, d12_1, d12_2)
    if d13_1 > ZERO and d13_2 > ZERO and d123_2 <= ZERO:
        return _keep_both(points, corners, 0, 2, d13_1, d13_2)
    if d12_1 <= ZERO and d23_2 <= ZERO:
        return _keep(points, corners, 1)
    if d13_1 <= ZERO and d23_1 <= ZERO:
        return _keep(points, corners, 2)
    if d23_1 > ZERO and d23_2 > ZERO and d123_1 <= ZERO:
        return _keep_both(points, corners, 1, 2, d23_1, d23_2)
    return 3
