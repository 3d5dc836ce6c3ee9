"""The vector environment and its physics, compared with Gymnasium's and Box2D's."""

import gymnasium
import numpy as np
import pytest
from Box2D import b2
from gymnasium.envs.box2d.car_dynamics import Car

from tests.environment.driving import actions, blind, motion
from worldmodels.environment import make
from worldmodels.environment.car_racing import DrawnCarRacing
from worldmodels.environment.make import OneByOne
from worldmodels.environment.physics.contact import touching
from worldmodels.environment.physics.dynamics import agrees_with_box2d
from worldmodels.environment.physics.tiles import PART_COUNTS, PARTS
from worldmodels.environment.picture.track import box2d_shapes
from worldmodels.environment.vector_env import VectorCarRacing


def follow(env, speed: float) -> np.ndarray:
    """The action that keeps Gymnasium's car on the road, at about `speed` m/s."""
    hull, line = env.car.hull, np.array(env.track)[:, 2:]
    offsets = line - np.array(hull.position)
    ahead = offsets[(np.argmin((offsets**2).sum(1)) + 5) % len(line)]
    right = ahead @ [np.cos(hull.angle), np.sin(hull.angle)] / np.linalg.norm(ahead)
    fast = hull.linearVelocity.length > speed * (1 - 0.5 * abs(right))
    return np.array([np.clip(2 * right, -1, 1), 0.0 if fast else 0.6, 0.2 * fast], np.float32)


@pytest.mark.slow
def test_vector_environment_equals_gymnasium_for_whole_episodes():
    kinds = ["follow", "spin", "stop", "follow"] * 5  # 20 cars: more than one block
    vector_env = VectorCarRacing(len(kinds))
    envs = [blind(gymnasium.make("CarRacing-v3").unwrapped) for _ in kinds]
    for slot, env in enumerate(envs):
        vector_env.reset(slot, slot)
        env.reset(seed=slot)
    spins = list(actions("spin", 1000, 1))
    going, laps = list(range(len(kinds))), 0
    for step in range(1000):
        chosen = np.stack([follow(envs[slot], 40 + 2 * slot) for slot in going])
        for n, slot in enumerate(going):
            if kinds[slot] == "spin":
                chosen[n] = spins[step]
            elif kinds[slot] == "stop" and 200 < step < 300:
                chosen[n] = [0, 0, 1]  # long enough to fall asleep
        rewards, ended = vector_env.step(np.array(going), chosen)
        for n, slot in enumerate(going.copy()):
            _, reward, terminated, _, _ = envs[slot].step(chosen[n])
            assert (rewards[n], ended[n]) == (reward, terminated), (step, slot)
            car = envs[slot].car
            assert tuple(vector_env.poses["hull"][slot]) == (*car.hull.position, car.hull.angle)
            if step % 50 == 49:
                assert vector_env.motion(slot).tolist() == motion(car)
            if terminated:
                going.remove(slot)
                laps += envs[slot].tile_visited_count == len(envs[slot].track)
    assert laps > 1 and sum(env.tile_visited_count for env in envs) > 2500


def test_vector_environment_shows_what_single_environments_show():
    seeds = [11, 12, 13]
    vector_env, envs = VectorCarRacing(3), OneByOne(DrawnCarRacing, 3)
    slots = np.arange(3)
    for each in (vector_env, envs):
        for slot, seed in enumerate(seeds):
            each.reset(slot, seed)
    plans = [list(actions(kind, 300, 11)) for kind in ("spin", "drive", "spin")]
    for step in range(300):
        if step == 150:  # a reset of one slot must not disturb the others
            for each in (vector_env, envs):
                each.reset(1, 14)
        chosen = np.stack([plan[step] for plan in plans])
        for a, b in zip(vector_env.step(slots, chosen), envs.step(slots, chosen)):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(vector_env.observations, envs.observations)
        np.testing.assert_array_equal(vector_env.poses, envs.poses)
    for slot in slots:
        np.testing.assert_array_equal(vector_env.touched_at(slot), envs.touched_at(slot))


def test_vector_environment_refuses_an_action_that_is_not_finite():
    vector_env = VectorCarRacing(2)
    with pytest.raises(ValueError, match="not finite"):
        vector_env.step(np.arange(2), np.array([[0, 0, 0], [0, np.nan, 0]]))


@pytest.mark.slow
def test_contacts_equal_box2d():
    rng, touched = np.random.default_rng(1), 0
    for _ in range(2000):
        quad = np.array([[-6.7, 0], [6.7, 0.3], [6.5, 3.5], [-6.9, 3.6]]) + rng.normal(
            0, 0.3, (4, 2)
        )
        turn, part = rng.uniform(-3, 3), rng.integers(len(PARTS))
        quad = quad @ [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]
        quad += rng.uniform(-300, 300, 2)
        corner, along = rng.integers(4), rng.random()
        place = quad[corner] * along + quad[corner - 1] * (1 - along) + rng.normal(0, 1, 2)
        world = b2.world(gravity=(0, 0), doSleep=False)
        tile = b2.fixtureDef(shape=b2.polygonShape(vertices=quad.tolist()), isSensor=True)
        world.CreateStaticBody(fixtures=tile)
        corners = PARTS[part, : PART_COUNTS[part]]
        body = world.CreateDynamicBody(
            position=place.tolist(),
            angle=rng.uniform(-3, 3),
            fixtures=b2.fixtureDef(shape=b2.polygonShape(vertices=corners.tolist()), density=1.0),
        )
        turned = [np.float32(value) for value in body.GetWorldVector((1, 0))]  # cosine, sine
        at = [np.float32(value) for value in body.position]
        world.Step(0.02, 1, 1)
        (shape,), (count,) = box2d_shapes(quad[None])
        found = touching(shape, count, PARTS[part], PART_COUNTS[part], *at, turned[1], turned[0])
        assert found == any(contact.touching for contact in world.contacts)
        touched += found
    assert 500 < touched < 1500


def test_motion_agrees_with_the_installed_box2d():
    assert agrees_with_box2d()


def test_falls_back_on_box2d_where_it_rounds_differently(monkeypatch):
    assert type(make.make_vector_env("drawn", 2)) is VectorCarRacing
    monkeypatch.setattr(make, "agrees_with_box2d", lambda: False)
    env = make.make_vector_env("drawn", 2)
    env.reset(1, 3)
    assert type(env.envs[1]) is DrawnCarRacing and type(env.envs[1].car) is Car
