"""Gymnasium's car, its wheels' step computed at once in numba.

`Car.step` asks Box2D's bindings some fifty times a step for a few numbers. Here they are read
where Box2D keeps them, and the same arithmetic runs in the same order: every force is the same to
the last bit. Source: Gymnasium 1.4.0 `envs/box2d/car_dynamics.py`.
"""

import ctypes
import math
import warnings
from functools import lru_cache

import Box2D
import numba
import numpy as np
from Box2D import _Box2D
from gymnasium.envs.box2d.car_dynamics import (
    ENGINE_POWER,
    FRICTION_LIMIT,
    SIZE,
    WHEEL_MOMENT_OF_INERTIA,
    Car,
)

# Where a b2Body of Box2D 2.3 has its numbers, in words of 4 bytes (b2Body.h on x86-64 and arm64).
X, Y, SIN, COS, ANGLE, SPEED_X, SPEED_Y = 3, 4, 5, 6, 14, 16, 17
WORDS = 18
GRASS_FRICTION, ROAD_FRICTION = FRICTION_LIMIT * 0.6, FRICTION_LIMIT * 1.0
STIFFNESS = 205000 * SIZE * SIZE
BRAKE_FORCE = 15.0


class FastCar(Car):
    """A `Car` that leaves no skid marks: those are drawn on no observation.

    What Gymnasium keeps in attributes of each wheel is here in `omega` and `phase` [4] (rad/s,
    rad) and `steering`, `throttle`, `braking`; `publish` writes it to those attributes.
    """

    steering = throttle = braking = 0.0
    omega: np.ndarray
    phase: np.ndarray
    bodies: tuple[np.ndarray, ...]  # the words of the hull and the wheels
    radius: float  # of a wheel, metres
    joints: list
    forces: np.ndarray

    @classmethod
    def take_over(cls, car: Car) -> "FastCar":
        """Make a car that Gymnasium has just built into this one."""
        car.__class__ = cls
        assert isinstance(car, cls)
        car.omega, car.phase = np.zeros(4), np.zeros(4)
        car.bodies = tuple(_memory(body) for body in (car.hull, *car.wheels))
        car.radius = car.wheels[0].wheel_rad
        car.joints = [wheel.joint for wheel in car.wheels]
        car.forces = np.zeros((4, 3))
        return car

    def steer(self, s: float) -> None:
        self.steering = float(s)

    def gas(self, gas: float) -> None:
        self.throttle += min(min(max(float(gas), 0.0), 1.0) - self.throttle, 0.1)

    def brake(self, b: float) -> None:
        self.braking = float(b)

    def step(self, dt: float) -> None:
        roads = tuple([len(wheel.tiles) > 0 for wheel in self.wheels])
        told = (self.steering, self.throttle, self.braking)
        step_wheels(self.omega, self.phase, self.bodies, roads, told, self.radius, dt, self.forces)
        for wheel, joint, (speed, x, y) in zip(self.wheels, self.joints, self.forces.tolist()):
            _Box2D.b2RevoluteJoint___SetMotorSpeed(joint, speed)
            _Box2D.b2Body_ApplyForceToCenter(wheel, (x, y), True)

    def publish(self) -> None:
        """Write the wheels' state to where Gymnasium's own drawing reads it."""
        for index, wheel in enumerate(self.wheels):
            wheel.omega, wheel.phase = float(self.omega[index]), float(self.phase[index])
            wheel.brake = self.braking
            if index < 2:
                wheel.steer = self.steering
            else:
                wheel.gas = self.throttle


@numba.njit(cache=True, nogil=True)
def step_wheels(omegas, phases, bodies, roads, told, radius, dt, out):
    """One step of the four wheels: `omegas`, `phases` [4] move on.

    `bodies`: the words of the hull and the wheels; `roads` [4]: whether a wheel touches a tile;
    `told`: steering, throttle, braking; `out` [4, 3] gets motor speed (rad/s) and force (N).
    """
    hull, (steering, throttle, braking) = bodies[0], told
    for i in range(4):
        wheel = bodies[i + 1]
        friction = ROAD_FRICTION if roads[i] else GRASS_FRICTION
        gas = throttle if i >= 2 else 0.0  # rear wheel drive
        turn = (steering if i < 2 else 0.0) - np.float64(wheel[ANGLE] - hull[ANGLE])
        out[i, 0] = np.sign(turn) * min(50.0 * abs(turn), 3.0)

        sin, cos = np.float64(wheel[SIN]), np.float64(wheel[COS])
        speed_x, speed_y = np.float64(wheel[SPEED_X]), np.float64(wheel[SPEED_Y])
        forward = -sin * speed_x + cos * speed_y
        sideways = cos * speed_x + sin * speed_y
        omega = omegas[i]
        omega += dt * ENGINE_POWER * gas / WHEEL_MOMENT_OF_INERTIA / (abs(omega) + 5.0)
        if braking >= 0.9:
            omega = 0.0
        elif braking > 0:
            omega += -np.sign(omega) * min(BRAKE_FORCE * braking, abs(omega))
        phases[i] += omega * dt

        along = (-forward + omega * radius) * STIFFNESS
        across = -sideways * STIFFNESS
        force = math.sqrt(along * along + across * across)
        if force > friction:
            along = along / force * friction
            across = across / force * friction
        omegas[i] = omega - dt * along * radius / WHEEL_MOMENT_OF_INERTIA
        out[i, 1] = across * cos + along * -sin
        out[i, 2] = across * sin + along * cos


@numba.njit(cache=True, nogil=True)
def read_pose(bodies, place, angles):
    """x, y and angle of the hull into `place` [3], the wheels' angles against it into `angles`."""
    hull = bodies[0]
    place[0], place[1], place[2] = hull[X], hull[Y], hull[ANGLE]
    for i in range(4):
        angles[i] = np.float64(bodies[i + 1][ANGLE]) - np.float64(hull[ANGLE])


def _memory(body: Box2D.b2Body) -> np.ndarray:
    """The words of a body, float32 [WORDS], as Box2D goes on changing them; dead with the body."""
    return np.ctypeslib.as_array((ctypes.c_float * WORDS).from_address(int(body.this)))


@lru_cache(maxsize=1)
def memory_is_known() -> bool:
    """Whether a body's numbers lie where this module looks; warns if they do not.

    Then Gymnasium's own `Car` drives, to the same results in more time.
    """
    world = Box2D.b2World()  # held: its bodies die with it
    body = world.CreateDynamicBody(position=(3.25, -7.5), angle=0.75, linearVelocity=(11.5, -2.25))
    words = _memory(body)
    cos, sin = body.GetWorldVector((1, 0))
    found = [float(words[i]) for i in (X, Y, SIN, COS, ANGLE, SPEED_X, SPEED_Y)]
    if found == [3.25, -7.5, sin, cos, 0.75, 11.5, -2.25]:
        return True
    warnings.warn(
        f"Box2D {Box2D.__version__} keeps its bodies in another way than the version in "
        "requirements.txt: driving works, but slower",
        stacklevel=2,
    )
    return False
