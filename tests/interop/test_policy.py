"""An agent as a policy drives as `evaluate` drives it, alone or in many environments."""

import gymnasium
import numpy as np
import pytest

from tests.agents import make_agent
from worldmodels.driving.episodes import Drive
from worldmodels.driving.jobs import DriveJob
from worldmodels.driving.limits import Limits
from worldmodels.environment.car_racing import preprocess
from worldmodels.interop.policy import Policy
from worldmodels.interop.vector_env import CarRacingVectorEnv

HORIZON = 40


def evaluated(agent, tracks, picture):
    """The scores that the jobs of `evaluate` give."""
    drives = tuple(Drive(0, track) for track in tracks)
    job = DriveJob(agent, drives, picture, Limits(HORIZON, 0), seed=1, device="cpu")
    return [result.score for result in job.run()]


@pytest.mark.slow
def test_it_scores_what_evaluate_scores_on_the_official_environment():
    agent = make_agent(candidates=1)
    policy, env = Policy(agent), gymnasium.make("CarRacing-v3", max_episode_steps=HORIZON)
    scores = []
    for track in (3, 4):
        observation, _ = env.reset(seed=track)
        policy.reset()
        rewards, over = [], False
        while not over:
            action = policy.act(observation)
            assert action.shape == (3,) and env.action_space.contains(action)
            observation, reward, terminated, truncated, _ = env.step(action)
            rewards.append(reward)
            over = terminated or truncated
        scores.append(Limits(HORIZON, 0).score(float(np.sum(rewards)), HORIZON, False))
    assert scores == evaluated(agent, (3, 4), "official")


def test_many_environments_as_one_by_one_and_as_evaluate():
    agent = make_agent(candidates=1)
    policy, envs = Policy(agent), CarRacingVectorEnv(3, max_episode_steps=HORIZON)
    observations, _ = envs.reset(seed=[5, 6, 7])
    total = np.zeros(3)
    for _ in range(HORIZON):
        observations, rewards, *_ = envs.step(policy.act(observations))
        total += rewards
    assert np.allclose(total, evaluated(agent, (5, 6, 7), "drawn"))


def test_reset_forgets_the_episodes_that_ended_and_no_others():
    agent = make_agent(candidates=1)
    policy, rng = Policy(agent), np.random.default_rng(1)
    pictures = rng.integers(0, 255, (6, 2, 64, 64, 3), dtype=np.uint8)
    for frames in pictures:
        policy.act(frames)
    policy.reset(np.array([True, False]))
    after = policy.act(pictures[0])
    fresh = Policy(agent).act(pictures[0])
    assert np.array_equal(after[0], fresh[0]) and not np.array_equal(after[1], fresh[1])
    policy.reset()
    assert np.array_equal(policy.act(pictures[0]), fresh)


def test_gymnasiums_picture_and_ours_are_told_apart_and_others_refused():
    policy = Policy(make_agent(candidates=1))
    official = np.random.default_rng(1).integers(0, 255, (96, 96, 3), dtype=np.uint8)
    action = policy.act(official)
    policy.reset()
    assert np.array_equal(policy.act(preprocess(official)), action)
    for wrong in (np.zeros((84, 84, 3), np.uint8), official.astype(np.float32) / 255):
        policy.reset()
        with pytest.raises(ValueError, match=r"give uint8 \[96, 96, 3\]"):
            policy.act(wrong)


def test_another_number_of_environments_needs_a_reset():
    policy = Policy(make_agent(candidates=1))
    frames = np.zeros((3, 64, 64, 3), np.uint8)
    policy.act(frames)
    with pytest.raises(ValueError, match=r"2 observations or ends, after 3: reset"):
        policy.act(frames[:2])
    policy.reset()
    assert policy.act(frames[:2]).shape == (2, 3)
