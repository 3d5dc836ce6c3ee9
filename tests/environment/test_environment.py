"""Our CarRacing as a Gymnasium environment: made by its id, equal to CarRacing-v3."""

import importlib
import subprocess
import sys
import warnings
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import worldmodels.environment
from tests.environment.driving import actions, blind, motion
from worldmodels.environment.car_racing import DrawnCarRacing

ROOT = Path(__file__).resolve().parents[2]

ENV_ID = "worldmodels.environment:WorldModels/CarRacing-v3"


@pytest.mark.parametrize(("kind", "seed"), [("drive", 1), ("spin", 2)])
def test_rewards_ends_and_motion_equal_gymnasium_for_whole_episodes(kind, seed):
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


def test_resets_without_a_seed_make_gymnasiums_tracks():
    ours, theirs = DrawnCarRacing(), blind(gymnasium.make("CarRacing-v3").unwrapped)
    for seed in (5, None, None, 6, None):
        ours.reset(seed=seed)
        theirs.reset(seed=seed)
        assert list(ours.track) == theirs.track


def test_its_id_alone_makes_the_environment_in_a_new_process():
    code = f"import gymnasium; print(type(gymnasium.make({ENV_ID!r}).unwrapped).__name__)"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert made.stdout.strip() == "DrawnCarRacing", made.stderr
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        importlib.reload(worldmodels.environment)  # registers only once


def test_gymnasiums_checker_finds_nothing():
    check_env(gymnasium.make(ENV_ID).unwrapped, skip_render_check=False)


def test_made_by_its_id_it_has_a_horizon_and_renders_for_videos():
    env = gymnasium.make(ENV_ID, render_mode="rgb_array")
    observation, _ = env.reset(seed=1)
    assert observation.shape == (64, 64, 3) and env.spec.max_episode_steps == 1000
    assert env.render().shape == (400, 600, 3)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_environment_refuses_an_action_that_is_not_finite(bad):
    env = DrawnCarRacing()
    env.reset(seed=1)
    with pytest.raises(ValueError, match="not finite"):
        env.step(np.array([bad, 0, 0], np.float32))


def test_a_reused_environment_equals_a_new_one():
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
