"""Motors, tyres and brakes of a car: Gymnasium's `Car.step` on the arrays of `bodies`.

The same arithmetic in the same order, in float64 on what Box2D keeps in float32, so that every
force is the same to the last bit. The numbers without a name are Gymnasium's. Source:
Gymnasium 1.4.0 `envs/box2d/car_dynamics.py`.
"""

import math

import numpy as np
from gymnasium.envs.box2d.car_dynamics import (
    ENGINE_POWER,
    FRICTION_LIMIT,
    SIZE,
    WHEEL_MOMENT_OF_INERTIA,
    WHEEL_R,
)
from gymnasium.envs.box2d.car_racing import FPS

from worldmodels.environment.physics.bodies import ANGLE, COS, FX, FY, LANES, SIN, SPEED, VX, VY
from worldmodels.runtime.compiled import compiled

STEP = 1.0 / FPS  # seconds
GRASS_FRICTION, ROAD_FRICTION = FRICTION_LIMIT * 0.6, FRICTION_LIMIT * 1.0
STIFFNESS = 205000 * SIZE * SIZE
BRAKE_FORCE = 15.0
RADIUS = WHEEL_R * SIZE  # of a wheel, metres


@compiled
def drive_wheels(bodies, joints, lane, omegas, phases, controls, on_road):
    """Set the motor speeds and the forces on the wheels of a lane's car.

    Updates `omegas` [4] (rad/s) and `phases` [4] (rad). `controls` [3] are steering, throttle and
    brake; `on_road` [4] tells which wheels touch a tile; `bodies` and `joints` are of the block.
    """
    hull_angle = bodies[0, ANGLE * LANES + lane]
    steering, throttle, braking = controls[0], controls[1], controls[2]
    for i in range(4):
        wheel = bodies[i + 1]
        friction = ROAD_FRICTION if on_road[i] else GRASS_FRICTION
        gas = throttle if i >= 2 else 0.0  # rear wheel drive
        turn = (steering if i < 2 else 0.0) - np.float64(wheel[ANGLE * LANES + lane] - hull_angle)
        joints[i, SPEED * LANES + lane] = np.sign(turn) * min(50.0 * abs(turn), 3.0)

        sin, cos = np.float64(wheel[SIN * LANES + lane]), np.float64(wheel[COS * LANES + lane])
        vx, vy = np.float64(wheel[VX * LANES + lane]), np.float64(wheel[VY * LANES + lane])
        forward, sideways = -sin * vx + cos * vy, cos * vx + sin * vy
        omega = omegas[i]
        omega += STEP * ENGINE_POWER * gas / WHEEL_MOMENT_OF_INERTIA / (abs(omega) + 5.0)
        if braking >= 0.9:  # the wheel locks
            omega = 0.0
        elif braking > 0:
            omega += -np.sign(omega) * min(BRAKE_FORCE * braking, abs(omega))
        phases[i] += omega * STEP

        along = (-forward + omega * RADIUS) * STIFFNESS
        across = -sideways * STIFFNESS
        force = math.sqrt(along * along + across * across)
        if force > friction:  # the tyre slips: it pushes no more than it grips
            along = along / force * friction
            across = across / force * friction
        omegas[i] = omega - STEP * along * RADIUS / WHEEL_MOMENT_OF_INERTIA
        wheel[FX * LANES + lane] = across * cos + along * -sin
        wheel[FY * LANES + lane] = across * sin + along * cos
