"""The drawn CarRacing against Gymnasium's: same episodes, nearly the same picture."""

from concurrent.futures import ThreadPoolExecutor

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.box2d.car_dynamics import Car
from gymnasium.utils.env_checker import check_env
from PIL import Image

from worldmodels.environment import car_racing
from worldmodels.environment.canvas import CROP_SHAPE
from worldmodels.environment.car import FastCar, memory_is_known
from worldmodels.environment.car_racing import (
    ENV_ID,
    DrawnCarRacing,
    make_official,
    preprocess,
    register,
)
from worldmodels.environment.resize import resize
from worldmodels.environment.track import track_of


def actions(kind: str, steps: int, seed: int):
    """Actions that drive along, or that spin and leave the road."""
    rng = np.random.default_rng(seed)
    value = np.zeros(3)
    for step in range(steps):
        value = 0.9 * value + rng.normal(0, 0.2, 3)
        steer, gas = (value[0] * 0.3, 0.4) if kind == "drive" else (np.sign(value[0]), 1.0)
        brake = 0.0 if step % 40 else 1.0
        yield np.clip([steer, gas, brake], [-1, 0, 0], 1).astype(np.float32)


@pytest.mark.parametrize(("kind", "seed"), [("drive", 1), ("spin", 2), ("spin", 7)])
def test_rewards_ends_and_car_are_gymnasiums_for_whole_episodes(kind, seed):
    ours, theirs = DrawnCarRacing(), gymnasium.make("CarRacing-v3").unwrapped
    theirs._render = lambda mode: np.zeros((96, 96, 3), np.uint8)  # only the picture is left out
    ours.reset(seed=seed)
    theirs.reset(seed=seed)
    for action in actions(kind, 1000, seed):
        a, b = ours.step(action), theirs.step(action)
        assert a[1:] == b[1:]
        for body, like in zip(
            [ours.car.hull, *ours.car.wheels], [theirs.car.hull, *theirs.car.wheels]
        ):
            assert body.position == like.position and body.angle == like.angle
            assert body.linearVelocity == like.linearVelocity
        if a[2]:
            break
    assert ours.tile_visited_count == theirs.tile_visited_count > 1


def test_the_fast_car_and_its_picture_are_those_of_gymnasiums_own_car():
    fast, plain = DrawnCarRacing(), DrawnCarRacing(render_mode="rgb_array")
    fast.reset(seed=11)
    plain.reset(seed=11)
    assert type(fast.car) is FastCar and type(plain.car) is Car
    for step, action in enumerate(actions("spin", 400, 11)):
        a, b = fast.step(action), plain.step(action)
        np.testing.assert_array_equal(a[0], b[0])
        assert a[1:] == b[1:] and fast.pose == plain.pose
        if step % 100 == 50:  # the instruments show the wheels' state
            np.testing.assert_array_equal(fast.official_picture(), plain.official_picture())
    np.testing.assert_array_equal(fast.touched_at, plain.touched_at)


def test_without_the_known_memory_the_plain_car_drives(monkeypatch):
    monkeypatch.setattr(car_racing, "memory_is_known", lambda: False)
    env = DrawnCarRacing()
    env.reset(seed=11)
    assert type(env.car) is Car


def test_box2ds_memory_is_where_it_is_looked_for():
    assert memory_is_known()


def test_resets_without_a_seed_go_on_as_gymnasiums():
    ours, theirs = DrawnCarRacing(), gymnasium.make("CarRacing-v3").unwrapped
    theirs._render = lambda mode: np.zeros((96, 96, 3), np.uint8)
    for seed in (5, None, None, 6, None):
        ours.reset(seed=seed)
        theirs.reset(seed=seed)
        assert list(ours.track) == theirs.track


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
