"""Cars as numbers: LANES of them side by side, each a hull, four wheels and the joints between.

float32, as Box2D has them. What a car weighs and where its wheels sit is asked of Box2D and of
Gymnasium 1.4.0 `envs/box2d/car_dynamics.py`.
"""

import math

import Box2D
import numpy as np
from gymnasium.envs.box2d.car_dynamics import SIZE, WHEELPOS, Car

from worldmodels.runtime.compiled import compiled

LANES = 16  # cars a block

# Rows of a body, a float32 a lane: centre of mass, angle, velocities, origin, sine and cosine of
# the angle, seconds at rest, force.
CX, CY, ANGLE, VX, VY, SPIN, X, Y, SIN, COS, REST, FX, FY = range(13)
BODY_ROWS = 13
# Rows of a joint: impulses, the motor's impulse and speed, the limit it is at (-1 lower, 0 none,
# 1 upper); then, for the velocity iterations of one step: the arm on the hull (on the wheel it is
# 0), the effective mass, and what solving with it takes.
IX, IY, IZ, MOTOR, SPEED, LIMIT, AX, AY = range(8)
XX, XY, YY, XZ, YZ, ZZ, DET2, DET3, CROSS_X, CROSS_Y, CROSS_Z = range(8, 19)
JOINT_ROWS = 19

F = np.float32
ZERO, ONE = F(0), F(1)


_WORLD = Box2D.b2World((0, 0))  # held: its bodies die with it
_CAR = Car(_WORLD, 0.0, 0.0, 0.0)  # asked for its constants


def _inverse_masses(body: Box2D.b2Body) -> tuple[np.float32, np.float32]:
    """1 / mass and 1 / inertia, as Box2D has them: what a unit impulse gives."""
    body.ApplyLinearImpulse((1.0, 0.0), body.worldCenter, True)
    body.ApplyAngularImpulse(1.0, True)
    return F(body.linearVelocity.x), F(body.angularVelocity)


CENTRE_X, CENTRE_Y = F(_CAR.hull.localCenter.x), F(_CAR.hull.localCenter.y)  # of mass
HULL_MASS, HULL_INERTIA = _inverse_masses(_CAR.hull)  # inverse, all four
WHEEL_MASS, WHEEL_INERTIA = _inverse_masses(_CAR.wheels[0])
_JOINT = _CAR.wheels[0].joint
LOWER, UPPER = F(_JOINT.lowerLimit), F(_JOINT.upperLimit)  # limits of the joints, radians
MAX_TORQUE = F(_JOINT.GetMaxMotorTorque())
ANCHORS = np.array(WHEELPOS, dtype=np.float64) * SIZE  # of the wheels on the hull


@compiled
def place(bodies, joints, lane, x, y, angle):
    """Set the car of a lane down at (x, y) in metres and `angle` in radians (float64), at rest.

    Gymnasium sets the wheels down unturned; the joints pull them to their places.
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
