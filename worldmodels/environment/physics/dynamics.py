"""One step of the cars of a block, as Box2D computes it, in the same order of operations.

Only its wheels push a car, since road tiles are sensors: its five bodies are one island of Box2D,
whose solver passes 180 times over the four joints in each step. Here the same float32 arithmetic
runs over LANES cars at once, and every result is the same to the last bit. Source: Box2D 2.3
`b2Island::Solve`.
"""

import math
import warnings
from functools import lru_cache

import Box2D
import numpy as np
from gymnasium.envs.box2d.car_dynamics import Car
from gymnasium.envs.box2d.car_racing import FPS

from worldmodels.environment.physics.bodies import (
    ANGLE,
    BODY_ROWS,
    CENTRE_X,
    CENTRE_Y,
    COS,
    CX,
    CY,
    FX,
    FY,
    JOINT_ROWS,
    LANES,
    LIMIT,
    REST,
    SIN,
    SPEED,
    SPIN,
    VX,
    VY,
    WHEEL_INV_MASS,
    ZERO,
    F,
    X,
    Y,
    place,
)
from worldmodels.environment.physics.joint import (
    ARMS,
    PI,
    STEP,
    begin,
    close,
    hold,
    hold_limited,
    turn,
)
from worldmodels.runtime.compiled import compiled

VELOCITY_ITERATIONS, POSITION_ITERATIONS = 6 * 30, 2 * 30  # as Gymnasium asks for
MAX_TRANSLATION, MAX_ROTATION = F(2), F(0.5) * PI  # per step, metres and radians
SLOW, SLOW_SPIN, SLEEP_AFTER = F(0.01), F(2) / F(180) * PI, F(0.5)  # m/s, rad/s, seconds


@compiled
def move(bodies, joints):
    """Step all lanes: `bodies` [5, BODY_ROWS * LANES], `joints` [4, JOINT_ROWS * LANES]."""
    for b in range(1, 5):
        _push(bodies[b])
    for j in (3, 2, 1, 0):  # the order in which Box2D finds them
        begin(bodies[0], bodies[j + 1], joints[j], ARMS[j, 0], ARMS[j, 1])
    limited = np.zeros(4, dtype=np.bool_)  # else the much shorter `hold` is enough
    for j in range(4):
        for lane in range(LANES):
            limited[j] |= joints[j, LIMIT * LANES + lane] != ZERO
    for _ in range(VELOCITY_ITERATIONS):
        for j in (3, 2, 1, 0):
            turn(bodies[0], bodies[j + 1], joints[j])
            if limited[j]:
                hold_limited(bodies[0], bodies[j + 1], joints[j])
            else:
                hold(bodies[0], bodies[j + 1], joints[j])
    for b in range(5):
        _advance(bodies[b])
    for lane in range(LANES):
        _settle(bodies.reshape(5, BODY_ROWS, LANES), joints.reshape(4, JOINT_ROWS, LANES), lane)


@compiled
def _push(body):
    """Let the forces on a wheel change its velocity."""
    for i in range(LANES):
        body[VX * LANES + i] += STEP * (WHEEL_INV_MASS * body[FX * LANES + i])
        body[VY * LANES + i] += STEP * (WHEEL_INV_MASS * body[FY * LANES + i])


@compiled
def _advance(body):
    """Let the velocities of a body change its position, within Box2D's limits."""
    for i in range(LANES):
        vx, vy, spin = body[VX * LANES + i], body[VY * LANES + i], body[SPIN * LANES + i]
        dx, dy, turn = STEP * vx, STEP * vy, STEP * spin
        square = dx * dx + dy * dy
        if square > MAX_TRANSLATION * MAX_TRANSLATION:
            ratio = MAX_TRANSLATION / math.sqrt(square)
            vx, vy = vx * ratio, vy * ratio
        if turn * turn > MAX_ROTATION * MAX_ROTATION:
            spin *= MAX_ROTATION / abs(turn)
        body[CX * LANES + i] += STEP * vx
        body[CY * LANES + i] += STEP * vy
        body[ANGLE * LANES + i] += STEP * spin
        body[VX * LANES + i], body[VY * LANES + i], body[SPIN * LANES + i] = vx, vy, spin


@compiled
def _settle(bodies, joints, i):
    """Correct the joints of lane `i`, update the bodies' origins, let a car at rest sleep.

    Box2D stops a body that sleeps; the forces of the next step wake it.
    """
    solved = False
    for _ in range(POSITION_ITERATIONS):
        solved = True
        for j in (3, 2, 1, 0):
            if not close(bodies[0], bodies[j + 1], joints[j], ARMS[j, 0], ARMS[j, 1], i):
                solved = False
        if solved:
            break
    rested = np.float32(np.inf)
    for b in range(5):
        body = bodies[b]
        sin, cos = math.sin(body[ANGLE, i]), math.cos(body[ANGLE, i])
        body[SIN, i], body[COS, i] = sin, cos
        body[X, i], body[Y, i] = body[CX, i], body[CY, i]
        if b == 0:
            body[X, i] -= cos * CENTRE_X - sin * CENTRE_Y
            body[Y, i] -= sin * CENTRE_X + cos * CENTRE_Y
        speed = body[VX, i] * body[VX, i] + body[VY, i] * body[VY, i]
        if body[SPIN, i] * body[SPIN, i] > SLOW_SPIN * SLOW_SPIN or speed > SLOW * SLOW:
            body[REST, i] = ZERO
        else:
            body[REST, i] += STEP
        rested = min(rested, body[REST, i])
    if rested >= SLEEP_AFTER and solved:
        for b in range(5):
            bodies[b, VX, i] = bodies[b, VY, i] = bodies[b, SPIN, i] = bodies[b, REST, i] = ZERO


@lru_cache(maxsize=1)
def agrees_with_box2d() -> bool:
    """True if `move` gives the bits of the installed Box2D; warns if it does not.

    Compares one second of a car that steers into both limits. A Box2D built for another processor
    may round its sums differently (fused multiply-adds, for one).
    """
    world = Box2D.b2World((0, 0))
    car = Car(world, 0.5, 30.0, -20.0)
    bodies = np.zeros((5, BODY_ROWS * LANES), dtype=np.float32)
    joints = np.zeros((4, JOINT_ROWS * LANES), dtype=np.float32)
    place(bodies, joints, 3, 30.0, -20.0, 0.5)
    for step in range(FPS):
        for i, wheel in enumerate(car.wheels):
            speed, force = (3.0 if step < 35 else -2.9) * (i < 2), (10.0 * i, 300.0 - step)
            wheel.joint.motorSpeed = joints[i, SPEED * LANES + 3] = speed
            wheel.ApplyForceToCenter(force, True)
            bodies[i + 1, FX * LANES + 3], bodies[i + 1, FY * LANES + 3] = force
        world.Step(1.0 / FPS, VELOCITY_ITERATIONS, POSITION_ITERATIONS)
        world.ClearForces()
        move(bodies, joints)
        for body, ours in zip((car.hull, *car.wheels), bodies):
            theirs = (*body.position, body.angle, *body.linearVelocity, body.angularVelocity)
            if theirs != tuple(
                float(ours[row * LANES + 3]) for row in (X, Y, ANGLE, VX, VY, SPIN)
            ):
                warnings.warn(
                    f"Box2D {Box2D.__version__} rounds differently on this processor than the "
                    "version in requirements.txt on x86-64: driving works, but is slower",
                    stacklevel=2,
                )
                return False
    return True
