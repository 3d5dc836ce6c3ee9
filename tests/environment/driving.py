"""Actions, and Gymnasium's environment without its picture, for the tests here."""

import numpy as np


def actions(kind: str, steps: int, seed: int):
    """Actions that drive along, or that spin and leave the road."""
    rng = np.random.default_rng(seed)
    value = np.zeros(3)
    for step in range(steps):
        value = 0.9 * value + rng.normal(0, 0.2, 3)
        steer, gas = (value[0] * 0.3, 0.4) if kind == "drive" else (np.sign(value[0]), 1.0)
        brake = 0.0 if step % 40 else 1.0
        yield np.clip([steer, gas, brake], [-1, 0, 0], 1).astype(np.float32)


def blind(env):
    """Gymnasium's environment without its costly picture."""
    env._render = lambda mode: np.zeros((96, 96, 3), np.uint8)
    return env


def motion(car) -> list[float]:
    """The places and velocities of the bodies of Gymnasium's car."""
    return [
        float(value)
        for body in (car.hull, *car.wheels)
        for value in (*body.position, body.angle, *body.linearVelocity, body.angularVelocity)
    ]
