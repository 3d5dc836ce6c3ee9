"""The joint that holds a wheel to the hull: a motor that steers it, within limits.

The arithmetic of Box2D 2.3 `b2RevoluteJoint` in the same order, for all cars of a block. The names
follow Box2D's: a is the hull, b the wheel, p an impulse. What Box2D decides by branching per car
is computed both ways and selected here, so that the loops over lanes become vector instructions.
"""

import math

import numpy as np
from gymnasium.envs.box2d.car_racing import FPS

from worldmodels.environment.physics.bodies import (
    ANCHORS,
    ANGLE,
    AX,
    AY,
    CENTRE_X,
    CENTRE_Y,
    COS,
    CROSS_X,
    CROSS_Y,
    CROSS_Z,
    CX,
    CY,
    DET2,
    DET3,
    HULL_INV_INERTIA,
    HULL_INV_MASS,
    IX,
    IY,
    IZ,
    LANES,
    LIMIT,
    LOWER,
    MAX_TORQUE,
    MOTOR,
    ONE,
    SIN,
    SPEED,
    SPIN,
    UPPER,
    VX,
    VY,
    WHEEL_INV_INERTIA,
    WHEEL_INV_MASS,
    XX,
    XY,
    XZ,
    YY,
    YZ,
    ZERO,
    ZZ,
    F,
)
from worldmodels.runtime.compiled import compiled

STEP = F(1.0 / FPS)  # seconds
WARM = (ONE / STEP) * STEP  # Box2D's ratio of this time step to the last; 1, rounded
PI = F(3.14159265359)  # as Box2D writes it
LINEAR_SLOP, ANGULAR_SLOP = F(0.005), F(2) / F(180) * PI  # errors allowed: metres, radians
MAX_CORRECTION = F(8) / F(180) * PI  # radians per position iteration
MOTOR_MASS = ONE / (HULL_INV_INERTIA + WHEEL_INV_INERTIA)
MAX_MOTOR = STEP * MAX_TORQUE  # angular impulse per step
ARMS = ANCHORS.astype(F) - np.array([CENTRE_X, CENTRE_Y])  # from the hull's centre of mass


@compiled
def begin(hull, wheel, joint, arm_x, arm_y):
    """Prepare a joint for the velocity iterations (`InitVelocityConstraints`).

    Also applies the impulses of the last step again (warm starting), from which the iterations
    converge sooner. (arm_x, arm_y): the joint in the hull's frame, metres.
    """
    for i in range(LANES):
        sin, cos = hull[SIN * LANES + i], hull[COS * LANES + i]
        ax, ay = cos * arm_x - sin * arm_y, sin * arm_x + cos * arm_y
        xx = HULL_INV_MASS + WHEEL_INV_MASS + ay * ay * HULL_INV_INERTIA
        xy = -ay * ax * HULL_INV_INERTIA
        xz = -ay * HULL_INV_INERTIA
        yy = HULL_INV_MASS + WHEEL_INV_MASS + ax * ax * HULL_INV_INERTIA
        yz = ax * HULL_INV_INERTIA
        zz = HULL_INV_INERTIA + WHEEL_INV_INERTIA
        cross_x, cross_y, cross_z = yy * zz - yz * yz, yz * xz - xy * zz, xy * yz - yy * xz
        joint[AX * LANES + i], joint[AY * LANES + i] = ax, ay
        joint[XX * LANES + i], joint[XY * LANES + i], joint[YY * LANES + i] = xx, xy, yy
        joint[XZ * LANES + i], joint[YZ * LANES + i], joint[ZZ * LANES + i] = xz, yz, zz
        joint[DET2 * LANES + i] = ONE / (xx * yy - xy * xy)
        joint[DET3 * LANES + i] = ONE / (xx * cross_x + xy * cross_y + xz * cross_z)
        joint[CROSS_X * LANES + i] = cross_x
        joint[CROSS_Y * LANES + i] = cross_y
        joint[CROSS_Z * LANES + i] = cross_z
        turned = wheel[ANGLE * LANES + i] - hull[ANGLE * LANES + i]
        limit = ONE if turned >= UPPER else ZERO
        limit = -ONE if turned <= LOWER else limit
        same = limit == joint[LIMIT * LANES + i] and limit != ZERO
        joint[LIMIT * LANES + i] = limit
        px, py = joint[IX * LANES + i] * WARM, joint[IY * LANES + i] * WARM
        pz = joint[IZ * LANES + i] * WARM if same else ZERO
        motor = joint[MOTOR * LANES + i] * WARM
        joint[IX * LANES + i], joint[IY * LANES + i] = px, py
        joint[IZ * LANES + i], joint[MOTOR * LANES + i] = pz, motor
        hull[VX * LANES + i] -= HULL_INV_MASS * px
        hull[VY * LANES + i] -= HULL_INV_MASS * py
        hull[SPIN * LANES + i] -= HULL_INV_INERTIA * (ax * py - ay * px + motor + pz)
        wheel[VX * LANES + i] += WHEEL_INV_MASS * px
        wheel[VY * LANES + i] += WHEEL_INV_MASS * py
        wheel[SPIN * LANES + i] += WHEEL_INV_INERTIA * (motor + pz)


@compiled
def turn(hull, wheel, joint):
    """Do the motor's part of a velocity iteration: approach SPEED within the torque limit."""
    for i in range(LANES):
        spin_a, spin_b = hull[SPIN * LANES + i], wheel[SPIN * LANES + i]
        before = joint[MOTOR * LANES + i]
        wanted = before + -MOTOR_MASS * (spin_b - spin_a - joint[SPEED * LANES + i])
        wanted = wanted if wanted < MAX_MOTOR else MAX_MOTOR
        wanted = wanted if wanted > -MAX_MOTOR else -MAX_MOTOR
        joint[MOTOR * LANES + i] = wanted
        hull[SPIN * LANES + i] = spin_a - HULL_INV_INERTIA * (wanted - before)
        wheel[SPIN * LANES + i] = spin_b + WHEEL_INV_INERTIA * (wanted - before)


@compiled
def hold(hull, wheel, joint):
    """Do the rest of a velocity iteration where no lane's wheel is at a limit: hold the point."""
    for i in range(LANES):
        ax, ay, spin = joint[AX * LANES + i], joint[AY * LANES + i], hull[SPIN * LANES + i]
        rx = -(wheel[VX * LANES + i] - hull[VX * LANES + i] + spin * ay)
        ry = -(wheel[VY * LANES + i] - hull[VY * LANES + i] - spin * ax)
        det, xy = joint[DET2 * LANES + i], joint[XY * LANES + i]
        px = det * (joint[YY * LANES + i] * rx - xy * ry)
        py = det * (joint[XX * LANES + i] * ry - xy * rx)
        joint[IX * LANES + i] += px
        joint[IY * LANES + i] += py
        hull[VX * LANES + i] -= HULL_INV_MASS * px
        hull[VY * LANES + i] -= HULL_INV_MASS * py
        hull[SPIN * LANES + i] = spin - HULL_INV_INERTIA * (ax * py - ay * px)
        wheel[VX * LANES + i] += WHEEL_INV_MASS * px
        wheel[VY * LANES + i] += WHEEL_INV_MASS * py


@compiled
def hold_limited(hull, wheel, joint):
    """Do the rest of a velocity iteration where a lane's wheel is at a limit.

    Solves for the point and the angle together (3x3), and for the point alone (2x2), and lets each
    lane take what Box2D would.
    """
    for i in range(LANES):
        ax, ay, spin = joint[AX * LANES + i], joint[AY * LANES + i], hull[SPIN * LANES + i]
        cx = wheel[VX * LANES + i] - hull[VX * LANES + i] + spin * ay
        cy = wheel[VY * LANES + i] - hull[VY * LANES + i] - spin * ax
        cz = wheel[SPIN * LANES + i] - spin
        xx, xy, yy = joint[XX * LANES + i], joint[XY * LANES + i], joint[YY * LANES + i]
        xz, yz, zz = joint[XZ * LANES + i], joint[YZ * LANES + i], joint[ZZ * LANES + i]
        det2, det3, limit = (
            joint[DET2 * LANES + i],
            joint[DET3 * LANES + i],
            joint[LIMIT * LANES + i],
        )
        px3 = -(
            det3
            * (
                cx * joint[CROSS_X * LANES + i]
                + cy * joint[CROSS_Y * LANES + i]
                + cz * joint[CROSS_Z * LANES + i]
            )
        )
        py3 = -(
            det3 * (xx * (cy * zz - cz * yz) + xy * (cz * xz - cx * zz) + xz * (cx * yz - cy * xz))
        )
        pz3 = -(
            det3 * (xx * (yy * cz - yz * cy) + xy * (yz * cx - xy * cz) + xz * (xy * cy - yy * cx))
        )
        held = joint[IZ * LANES + i]
        freed = (held + pz3) * limit > ZERO  # a limit pushes, it cannot pull
        free = limit == ZERO
        keep = ZERO if free else held
        rx, ry = -cx + keep * xz, -cy + keep * yz
        px2, py2 = det2 * (yy * rx - xy * ry), det2 * (xx * ry - xy * rx)
        two = freed or free
        px, py = (px2 if two else px3), (py2 if two else py3)
        pz = -keep if two else pz3
        joint[IX * LANES + i] += px
        joint[IY * LANES + i] += py
        joint[IZ * LANES + i] = ZERO if two else held + pz3
        hull[VX * LANES + i] -= HULL_INV_MASS * px
        hull[VY * LANES + i] -= HULL_INV_MASS * py
        hull[SPIN * LANES + i] = spin - HULL_INV_INERTIA * (ax * py - ay * px + pz)
        wheel[VX * LANES + i] += WHEEL_INV_MASS * px
        wheel[VY * LANES + i] += WHEEL_INV_MASS * py
        wheel[SPIN * LANES + i] += WHEEL_INV_INERTIA * pz


@compiled
def close(hull, wheel, joint, arm_x, arm_y, i):
    """Do a position iteration of lane `i` (`SolvePositionConstraints`); True if close enough.

    Velocities alone would let rounding pull wheel and hull apart. `hull`, `wheel` and `joint` are
    [rows, LANES] here, since lanes stop iterating at different times.
    """
    angle_a, angle_b, limit = hull[ANGLE, i], wheel[ANGLE, i], joint[LIMIT, i]
    angular_error = ZERO
    if limit != ZERO:
        error = angle_b - angle_a - (LOWER if limit < ZERO else UPPER)
        if limit < ZERO:
            angular_error = -error
            error = min(max(error + ANGULAR_SLOP, -MAX_CORRECTION), ZERO)
        else:
            angular_error = error
            error = min(max(error - ANGULAR_SLOP, ZERO), MAX_CORRECTION)
        impulse = -MOTOR_MASS * error
        angle_a -= HULL_INV_INERTIA * impulse
        angle_b += WHEEL_INV_INERTIA * impulse
    sin, cos = math.sin(angle_a), math.cos(angle_a)
    ax, ay = cos * arm_x - sin * arm_y, sin * arm_x + cos * arm_y
    dx, dy = wheel[CX, i] - hull[CX, i] - ax, wheel[CY, i] - hull[CY, i] - ay
    xx = HULL_INV_MASS + WHEEL_INV_MASS + HULL_INV_INERTIA * ay * ay
    xy = -HULL_INV_INERTIA * ax * ay
    yy = HULL_INV_MASS + WHEEL_INV_MASS + HULL_INV_INERTIA * ax * ax
    det = ONE / (xx * yy - xy * xy)
    px, py = -(det * (yy * dx - xy * dy)), -(det * (xx * dy - xy * dx))
    hull[CX, i] -= HULL_INV_MASS * px
    hull[CY, i] -= HULL_INV_MASS * py
    hull[ANGLE, i] = angle_a - HULL_INV_INERTIA * (ax * py - ay * px)
    wheel[CX, i] += WHEEL_INV_MASS * px
    wheel[CY, i] += WHEEL_INV_MASS * py
    wheel[ANGLE, i] = angle_b
    return math.sqrt(dx * dx + dy * dy) <= LINEAR_SLOP and angular_error <= ANGULAR_SLOP
