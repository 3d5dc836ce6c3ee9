"""What the critic is told of a car and the road ahead of it."""

import numpy as np
import pytest

from tests.agents import PRIVILEGED
from worldmodels.environment.privileged import Privileged
from worldmodels.environment.vector_env import VectorCarRacing

AHEAD = np.array(PRIVILEGED.road_ahead)


def test_the_critic_is_told_speed_and_road():
    env, slots, scale = VectorCarRacing(2), np.arange(2), PRIVILEGED.speed_scale
    privileged = Privileged(env, PRIVILEGED)
    for slot, track in enumerate((3, 4)):
        env.reset(slot, track)
    still = privileged.situation()
    assert still.shape == (2, PRIVILEGED.size) and np.abs(still[:, :2]).max() < 0.05
    assert (still[:, -len(AHEAD) :][:, 1:] > 0).all()  # the road lies ahead
    for _ in range(60):
        env.step(slots, np.float32([[0, 1, 0], [0, 1, 0]]))
    moving = privileged.situation()
    for slot in slots:
        vx, vy = env.motion(slot)[3:5]
        speed = scale * np.hypot(moving[slot, 0], moving[slot, 1])
        assert speed == pytest.approx(np.hypot(vx, vy), rel=1e-6) and speed > 5
        assert moving[slot, 1] > 0.9 * speed / scale  # forwards
    assert (moving[:, 3:7].mean(axis=1) > 0.1).all()  # the wheels spin


def test_every_number_the_critic_is_told_is_in_its_column():
    env = VectorCarRacing(1)
    privileged = Privileged(env, PRIVILEGED)
    env.reset(0, 3)
    for _ in range(40):
        env.step(np.zeros(1, dtype=np.int64), np.float32([[0.3, 1, 0]]))
    x, y, angle, vx, vy, spin = env.motion(0)[:6].astype(np.float64)
    right = np.array([np.cos(angle), np.sin(angle)])
    ahead = np.array([-np.sin(angle), np.cos(angle)])
    tiles = (290 + AHEAD) % env.tracks.lengths[0]
    roads = [env.tracks.shapes[0, tile, : env.tracks.shape_counts[0, tile]] for tile in tiles]
    away = np.array([road.mean(axis=0) - (x, y) for road in roads]) / PRIVILEGED.distance_scale
    speed = np.array([vx, vy]) / PRIVILEGED.speed_scale
    expected = [speed @ right, speed @ ahead, spin, *env.state.omega[0] / 100]
    expected += [*env.poses["wheel_angle"][0], *env.state.on_road[0]]
    expected += [*np.clip(away @ right, -4, 4), *np.clip(away @ ahead, -4, 4)]
    privileged.foremost[0] = 290
    np.testing.assert_allclose(privileged.situation()[0], expected, atol=1e-4)
    assert abs(spin) > 0.1 and speed @ ahead > 0.2 and np.abs(away).max() > 1
