"""Practice: what a segment logs, and how its episodes end."""

import numpy as np
import pytest

from tests.agents import PRIVILEGED, make_agent
from tests.real.rules import STILL
from worldmodels.control.search_space import raw_space
from worldmodels.driving.limits import Limits
from worldmodels.environment.actions import squash
from worldmodels.environment.interface import ACTION_SIZE
from worldmodels.environment.vector_env import VectorCarRacing
from worldmodels.ppo.rollout import GOES_ON, TERMINATED, TRUNCATED
from worldmodels.real.practice import PracticeJob

FEATURES = 8 + 16  # of make_agent
BOTH = 5  # a seed that draws both tracks
AHEAD, COAST = np.array(PRIVILEGED.road_ahead), PRIVILEGED.coast


def driver_of(steering=0.0, gas=0.0, brake=-1.0):
    """An agent whose actions never change."""
    agent = make_agent(candidates=1)
    parameters = np.zeros_like(agent.parameters)
    parameters[0, -ACTION_SIZE:] = steering, gas, brake
    return agent.with_candidates(parameters)


def drive(agent, rules, group=None, seed=BOTH):
    return PracticeJob(
        agent=agent,
        space=raw_space(0, FEATURES),
        actor_inputs=FEATURES,
        rules=rules,
        privileged=PRIVILEGED,
        tracks=[3, 4],
        rng=np.random.default_rng(seed),
        envs=2,
        group=group,
        device="cpu",
        title="a test",
    ).run()


def test_rewards_are_the_environments_without_noise_and_prices():
    agent = make_agent(candidates=1)
    rollout, _ = drive(agent, STILL)
    env, rng = VectorCarRacing(2), np.random.default_rng(BOTH)
    rng.integers(1 << 31)
    tracks = [[3, 4][rng.integers(2)] for _ in range(2)]
    assert len(set(tracks)) == 2
    for slot, track in enumerate(tracks):
        env.reset(slot, track)
    slots = np.arange(2)
    for step in range(24):
        rewards, _ = env.step(slots, squash(rollout.raw[step].astype(np.float64)))
        np.testing.assert_allclose(rollout.reward[step], rewards, atol=1e-6)


def test_a_segment_continues_where_the_last_one_stopped():
    agent = make_agent(candidates=1)
    at_once, _ = drive(agent, STILL)
    half = STILL._replace(steps=12)
    first, group = drive(agent, half)
    second, _ = drive(agent, half, group, seed=2)
    together = np.concatenate([first.features, second.features])
    assert np.array_equal(together, at_once.features)
    assert (at_once.end[:-1] == GOES_ON).all() and (at_once.end[-1] == TRUNCATED).all()


def test_the_steps_of_a_decision_share_their_noise_and_their_reward():
    agent = driver_of(gas=0.5)
    rules = STILL._replace(hold=4, noise=0.3, discount=0.9)
    rollout, _ = drive(agent, rules)
    single, _ = drive(agent, rules._replace(hold=1, noise=0))
    assert rollout.raw.shape == (6, 2, 3)
    noise = rollout.raw - [0, 0.5, -1]
    assert noise.std() > 0.1 and len(np.unique(noise)) == noise.size
    quiet, _ = drive(agent, rules._replace(noise=0))
    assert np.array_equal(quiet.raw, np.broadcast_to(np.float32([0, 0.5, -1]), (6, 2, 3)))
    discounted = single.reward.reshape(6, 4, 2) * 0.9 ** np.arange(4)[:, None]
    np.testing.assert_allclose(quiet.reward, discounted.sum(axis=1))
    mean = single.features.reshape(6, 4, 2, FEATURES).mean(axis=1)
    np.testing.assert_allclose(quiet.features, mean, atol=1e-6)
    assert np.array_equal(quiet.critic_inputs[:, :, :FEATURES], single.features[::4])


def test_a_car_that_stands_still_is_lost_and_charged():
    rollout, group = drive(driver_of(gas=-9, brake=9), STILL._replace(limits=Limits(100, 10)))
    touched, lost = (
        np.flatnonzero(found[:, 0]) for found in (rollout.reward > 0, rollout.end == TERMINATED)
    )
    assert touched[0] == 0 and lost[0] == 10  # it starts on its first tile
    np.testing.assert_allclose(rollout.reward[lost[0], 0], -50.1)
    assert len(rollout.returns) == (rollout.end == TERMINATED).sum()
    assert (group.steps < 24).all()
    whole, _ = drive(driver_of(gas=-9, brake=9), STILL._replace(steps=104))
    np.testing.assert_allclose(rollout.returns[:2], whole.returns)  # as if driven to the horizon


@pytest.mark.parametrize("again", [0, 1])
def test_tracks_of_the_latest_losses_are_replayed(again):
    rules, begun = STILL._replace(limits=Limits(100, 10), replay_share=again), set()
    agent = driver_of(gas=-9, brake=9)
    for seed in range(8):
        _, group = drive(agent, rules._replace(steps=1))
        assert sorted(group.tracks) == [3, 4]
        group.lost_on.extend([66, 77])
        _, group = drive(agent, rules._replace(steps=11), group, seed)  # both lost, two begin
        assert sorted(group.lost_on) == [3, 4, 77]  # of three that are kept, whatever begins
        begun |= set(group.tracks)
    assert begun == ({3, 4, 77} if again else {3, 4})


def test_no_car_is_lost_without_a_limit_of_patience():
    rollout, group = drive(driver_of(gas=-9, brake=9), STILL._replace(limits=Limits(100, 0)))
    assert (rollout.end[:-1] == GOES_ON).all() and (group.steps == 24).all()


def test_steps_after_an_end_within_a_decision_are_left_out():
    rules = STILL._replace(hold=6, limits=Limits(9, 100))
    rollout, _ = drive(driver_of(gas=1.0), rules)
    single, _ = drive(driver_of(gas=1.0), rules._replace(hold=1))
    assert (rollout.end[1] == TRUNCATED).all()
    np.testing.assert_allclose(rollout.reward[1], single.reward[6:9].sum(axis=0))
    np.testing.assert_allclose(rollout.features[1], single.features[6:9].mean(axis=0), atol=1e-6)


def test_an_episode_begins_with_an_empty_memory():
    agent, rules = make_agent(candidates=1), STILL._replace(limits=Limits(12, 100))
    rollout, _ = drive(agent, rules)
    hidden = rollout.features[:, :, 8:]
    assert (rollout.end[11] == TRUNCATED).all()
    assert not hidden[0].any() and hidden[11].any() and not hidden[12].any()


def test_each_environment_draws_its_own_latents():
    sampled = make_agent(candidates=1, latent="sample")
    first, _ = drive(
        sampled, STILL._replace(limits=Limits(12, 100)), seed=1
    )  # both cars on one track
    again, _ = drive(sampled, STILL._replace(limits=Limits(12, 100)), seed=1)
    z = first.features[:, :, :8]
    assert np.array_equal(first.features, again.features)
    assert (z[0, 0] != z[0, 1]).any() and (z[12, 0] != z[12, 1]).any()
