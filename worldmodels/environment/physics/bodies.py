"""Layout of the simulated cars: a block of LANES cars, each a hull, four wheels and four joints.

A block keeps each quantity of its cars in consecutive float32, as Box2D's precision, so that the
solver's loops over lanes become vector instructions. Masses and lengths come from Box2D and from
Gymnasium 1.4.0 `envs/box2d/car_dynamics.py`.
"""

import math

import Box2D
import numpy as np
from gymnasium.envs.box2d.car_dynamics import SIZE, WHEELPOS, Car

from worldmodels.runtime.compiled import compiled

LANES = 16  # cars per block: the float32 of one 64-byte cache line, or AVX-512 register

# Rows of a body, one float32 per lane: centre of mass, angle, velocities, origin, sine and cosine
# of the angle, seconds at rest, force.
CX, CY, ANGLE, VX, VY, SPIN, X, Y, SIN, COS, REST, FX, FY = range(13)
BODY_ROWS = 13
# Rows of a joint: impulses, the motor's impulse and speed, the limit it is at (-1 lower, 0 none,
# 1 upper). The rest is prepared once per step for the velocity iterations: the arm on the hull (on
# the wheel it is 0), the symmetric 3x3 matrix of the effective mass, and its inverse determinants
# (of the upper left 2x2, of all) and cofactors.
IX, IY, IZ, MOTOR, SPEED, LIMIT, AX, AY = range(8)
XX, XY, YY, XZ, YZ, ZZ, DET2, DET3, CROSS_X, CROSS_Y, CROSS_Z = range(8, 19)
JOINT_ROWS = 19

F = np.float32
ZERO, ONE = F(0), F(1)


_WORLD = Box2D.b2World((0, 0))  # kept alive: its bodies die with it
_CAR = Car(_WORLD, 0.0, 0.0, 0.0)  # only read for its constants


def _inverse_masses(body: Box2D.b2Body) -> tuple[np.float32, np.float32]:
    """Return 1 / mass and 1 / inertia: Box2D tells neither, but a unit impulse shows both."""
    body.ApplyLinearImpulse((1.0, 0.0), body.worldCenter, True)
    body.ApplyAngularImpulse(1.0, True)
    return F(body.linearVelocity.x), F(body.angularVelocity)


CENTRE_X, CENTRE_Y = F(_CAR.hull.localCenter.x), F(_CAR.hull.localCenter.y)  # of mass, metres
HULL_INV_MASS, HULL_INV_INERTIA = _inverse_masses(_CAR.hull)  # 1/kg, 1/(kg m2)
WHEEL_INV_MASS, WHEEL_INV_INERTIA = _inverse_masses(_CAR.wheels[0])
_JOINT = _CAR.wheels[0].joint
LOWER, UPPER = F(_JOINT.lowerLimit), F(_JOINT.upperLimit)  # of the joints, radians
MAX_TORQUE = F(_JOINT.GetMaxMotorTorque())
ANCHORS = np.array(WHEELPOS, dtype=np.float64) * SIZE  # of the wheels on the hull, metres


@compiled
def place(bodies, joints, lane, x, y, angle):
    """Place the car of a lane at (x, y) in metres and `angle` in radians (float64), at rest.

    As in Gymnasium, the wheels start where an unturned hull would have them; the joints pull them
    into place in the first step.
    """
    bodies.reshape(5, BODY_ROWS, LANES)[:, :, lane] = ZERO
    joints.reshape(4, JOINT_ROWS, LANES)[:, :, lane] = ZERO
    for b in range(5):
        body = bodies[b].reshape(BODY_ROWS, LANES)
        body[ANGLE, lane] = np.float32(angle)
        body[SIN, lane] = math.sin(np.float32(angle))
        body[COS, lane] = math.cos(np.float32(angle))
        body[X, lane] = np.float32(x + (ANCHORS[b - 1, 0] if b else 0.0))
        body[Y, lane] = np.float32(y + (ANCHORS[b - 1, 1] if b else 0.0))
        body[CX, lane], body[CY, lane] = body[X, lane], body[Y, lane]
    hull = bodies[0].reshape(BODY_ROWS, LANES)
    sin, cos = hull[SIN, lane], hull[COS, lane]
    hull[CX, lane] = (cos * CENTRE_X - sin * CENTRE_Y) + hull[X, lane]
    hull[CY, lane] = (sin * CENTRE_X + cos * CENTRE_Y) + hull[Y, lane]
