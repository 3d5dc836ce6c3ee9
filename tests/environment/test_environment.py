"""The drawn CarRacing against Gymnasium's: same episodes, nearly the same picture."""

from concurrent.futures import ThreadPoolExecutor

import gymnasium
import numpy as np
import pytest
from Box2D import b2
from gymnasium.envs.box2d.car_dynamics import Car
from gymnasium.utils.env_checker import check_env
from PIL import Image

from worldmodels.driving import jobs as rollout
from worldmodels.driving.episodes import Environments
from worldmodels.environment.car_racing import (
    ENV_ID,
    DrawnCarRacing,
    make_official,
    preprocess,
    register,
)
from worldmodels.environment.physics.contact import touching
from worldmodels.environment.physics.dynamics import agrees_with_box2d
from worldmodels.environment.physics.tiles import PART_COUNTS, PARTS
from worldmodels.environment.picture.canvas import CROP_SHAPE
from worldmodels.environment.picture.resize import resize
from worldmodels.environment.picture.track import box2d_shapes, track_of
from worldmodels.environment.vector_env import Fleet


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
    """Where the bodies of Gymnasium's car are and how they move."""
    return [
        float(value)
        for body in (car.hull, *car.wheels)
        for value in (*body.position, body.angle, *body.linearVelocity, body.angularVelocity)
    ]


@pytest.mark.parametrize(("kind", "seed"), [("drive", 1), ("spin", 2)])
def test_rewards_ends_and_car_are_gymnasiums_for_whole_episodes(kind, seed):
    ours, theirs = DrawnCarRacing(), blind(gymnasium.make("CarRacing-v3").unwrapped)
    ours.reset(seed=seed)
    theirs.reset(seed=seed)
    for action in actions(kind, 1000, seed):
        a, b = ours.step(action), theirs.step(action)
        assert a[1:] == b[1:]
        assert motion(ours.car) == motion(theirs.car)
        if a[2]:
            break
    assert ours.tile_visited_count == theirs.tile_visited_count > 1


def follow(env, speed: float) -> np.ndarray:
    """The action that keeps Gymnasium's car on the road, at about so many m/s."""
    hull, line = env.car.hull, np.array(env.track)[:, 2:]
    offsets = line - np.array(hull.position)
    ahead = offsets[(np.argmin((offsets**2).sum(1)) + 5) % len(line)]
    right = ahead @ [np.cos(hull.angle), np.sin(hull.angle)] / np.linalg.norm(ahead)
    fast = hull.linearVelocity.length > speed * (1 - 0.5 * abs(right))
    return np.array([np.clip(2 * right, -1, 1), 0.0 if fast else 0.6, 0.2 * fast], np.float32)


@pytest.mark.slow
def test_a_fleet_drives_whole_episodes_as_gymnasiums_environment():
    kinds = ["follow", "spin", "stop", "follow"] * 5  # 20 cars: more than a block
    fleet = Fleet(len(kinds))
    envs = [blind(gymnasium.make("CarRacing-v3").unwrapped) for _ in kinds]
    for slot, env in enumerate(envs):
        fleet.reset(slot, slot)
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
        rewards, ended = fleet.step(np.array(going), chosen)
        for n, slot in enumerate(going.copy()):
            _, reward, terminated, _, _ = envs[slot].step(chosen[n])
            assert (rewards[n], ended[n]) == (reward, terminated), (step, slot)
            car = envs[slot].car
            assert tuple(fleet.poses["hull"][slot]) == (*car.hull.position, car.hull.angle)
            if step % 50 == 49:
                assert fleet.motion(slot).tolist() == motion(car)
            if terminated:
                going.remove(slot)
                laps += envs[slot].tile_visited_count == len(envs[slot].track)
    assert laps > 1 and sum(env.tile_visited_count for env in envs) > 2500


def test_a_fleets_pictures_and_poses_are_those_of_its_environments_one_by_one():
    seeds = [11, 12, 13]
    fleet, envs = Fleet(3), Environments(DrawnCarRacing, 3)
    slots = np.arange(3)
    for cars in (fleet, envs):
        for slot, seed in enumerate(seeds):
            cars.reset(slot, seed)
    plans = [list(actions(kind, 300, 11)) for kind in ("spin", "drive", "spin")]
    for step in range(300):
        if step == 150:  # another episode in one slot leaves the others alone
            for cars in (fleet, envs):
                cars.reset(1, 14)
        chosen = np.stack([plan[step] for plan in plans])
        for a, b in zip(fleet.step(slots, chosen), envs.step(slots, chosen)):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(fleet.observations, envs.observations)
        np.testing.assert_array_equal(fleet.poses, envs.poses)
    for slot in slots:
        np.testing.assert_array_equal(fleet.touched_at(slot), envs.touched_at(slot))


@pytest.mark.slow
def test_tiles_and_parts_of_the_car_touch_when_box2d_says_so():
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


def test_box2ds_sums_are_those_of_the_fleet():
    assert agrees_with_box2d()


def test_where_box2d_sums_in_another_way_its_own_physics_drives(monkeypatch):
    assert type(rollout.make_cars("drawn", 2)) is Fleet
    monkeypatch.setattr(rollout, "agrees_with_box2d", lambda: False)
    cars = rollout.make_cars("drawn", 2)
    cars.reset(1, 3)
    assert type(cars.envs[1]) is DrawnCarRacing and type(cars.envs[1].car) is Car


def test_an_action_for_the_fleet_that_is_no_number_is_refused():
    fleet = Fleet(2)
    with pytest.raises(ValueError, match="not finite"):
        fleet.step(np.arange(2), np.array([[0, 0, 0], [0, np.nan, 0]]))


def test_resets_without_a_seed_go_on_as_gymnasiums():
    ours, theirs = DrawnCarRacing(), blind(gymnasium.make("CarRacing-v3").unwrapped)
    for seed in (5, None, None, 6, None):
        ours.reset(seed=seed)
        theirs.reset(seed=seed)
        assert list(ours.track) == theirs.track


@pytest.mark.slow
def test_picture_is_close_to_gymnasiums_driving_and_spinning_on_twenty_tracks():
    ours, theirs = DrawnCarRacing(), make_official()
    errors, off = [], []
    for seed in range(20):
        ours.reset(seed=seed)
        theirs.reset(seed=seed)
        for step, action in enumerate(actions("drive" if seed % 2 else "spin", 120, seed)):
            drawn = ours.step(action)[0]
            if step % 6 and step > 4:  # the costly picture only now and then
                theirs.unwrapped._render = lambda mode: np.zeros((96, 96, 3), np.uint8)
                theirs.step(action)
                continue
            theirs.unwrapped.__dict__.pop("_render", None)
            official = theirs.step(action)[0]
            difference = np.abs(drawn.astype(int) - official)
            errors.append(difference.mean())
            off.append((difference > 16).mean())
    assert len(errors) > 400
    assert np.mean(errors) <= 0.3 and np.mean(off) <= 0.001 and np.max(errors) <= 1.0


def test_far_outside_the_playfield_the_picture_is_black_as_gymnasiums():
    ours, theirs = DrawnCarRacing(), gymnasium.make("CarRacing-v3").unwrapped
    for env in (ours, theirs):
        env.reset(seed=1)
        for _ in range(50):
            env.step(np.zeros(3, np.float32))
        env.car.hull.position = (333.0, 100.0)
    ours.frame -= 1
    drawn, official = ours._render("state_pixels"), preprocess(theirs._render("state_pixels"))
    assert (official.sum(2) == 0).mean() > 0.2
    assert np.abs(drawn.astype(int) - official).mean() < 1.5  # the wheels are left behind there


def test_resize_is_pillows_to_the_last_bit():
    rng = np.random.default_rng(1)
    for limit in (256, 256, 2):
        pixels = rng.integers(0, limit, (84, 96, 3), dtype=np.uint8) * (255 // (limit - 1))
        crop = np.zeros(CROP_SHAPE, np.uint32)
        packed = pixels.astype(np.uint32) @ np.array([1, 1 << 8, 1 << 16], np.uint32)
        crop[:, :, 1:-1] = packed.reshape(84, 32, 3).transpose(0, 2, 1)
        ours = np.empty((64, 64, 3), np.uint8)
        resize(crop, ours)
        pillow = Image.fromarray(pixels).resize((64, 64), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(ours, pillow)


def test_surveyed_track_is_the_one_that_reset_makes():
    env = DrawnCarRacing()
    for seed in (1, 5, 9):
        env.reset(seed=seed)
        track = track_of(seed)
        np.testing.assert_array_equal(track.corners, env.polygons.corners)
        np.testing.assert_array_equal(track.tiles, env.polygons.tiles)
        assert track.length == len(env.track)


def test_tracks_surveyed_in_threads_are_those_surveyed_alone():
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(track_of.__wrapped__, range(40, 60)))
    for seed, track in zip(range(40, 60), together):
        np.testing.assert_array_equal(track.corners, track_of(seed).corners)


def test_gymnasiums_checker_finds_nothing():
    register()
    check_env(gymnasium.make(ENV_ID).unwrapped, skip_render_check=False)


def test_made_by_its_id_it_ends_after_a_thousand_steps_and_gives_a_picture_for_videos():
    register()
    env = gymnasium.make(ENV_ID, render_mode="rgb_array")
    observation, _ = env.reset(seed=1)
    assert observation.shape == (64, 64, 3) and env.spec.max_episode_steps == 1000
    assert env.render().shape == (400, 600, 3)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_action_that_is_no_number_is_refused(bad):
    env = DrawnCarRacing()
    env.reset(seed=1)
    with pytest.raises(ValueError, match="not finite"):
        env.step(np.array([bad, 0, 0], np.float32))


def test_a_used_environment_drives_as_a_new_one():
    used, new = DrawnCarRacing(), DrawnCarRacing()
    used.reset(seed=3)
    for action in actions("spin", 200, 3):
        used.step(action)
    used.reset(seed=4)
    new.reset(seed=4)
    for action in actions("spin", 300, 4):
        a, b = used.step(action), new.step(action)
        assert a[1:] == b[1:]
        np.testing.assert_array_equal(a[0], b[0])
    assert used.pose == new.pose
