"""Driving with noise to learn from it: what a segment notes, and how its episodes end."""

import numpy as np
import pytest

from tests.test_driving import make_agent
from worldmodels.controller import ACTIONS, act
from worldmodels.environment.fleet import AHEAD, SITUATION, Fleet
from worldmodels.practice import (
    CUT,
    GOES_ON,
    LOST,
    Group,
    Log,
    Rules,
    View,
    drive_step,
    practise,
    squash,
    take_missed,
)

FEATURES = 8 + 16  # of make_agent
BOTH = 5  # a seed that draws both tracks
STILL = Rules(
    steps=24, hold=1, noise=0, horizon=100, patience=100, discount=1, lost_cost=50, missed_cost=0
)


def driver_of(steering=0.0, gas=0.0, brake=-1.0):
    """An agent that always does the same."""
    agent = make_agent(candidates=1)
    parameters = np.zeros_like(agent.parameters)
    parameters[0, -ACTIONS:] = steering, gas, brake
    return agent.with_candidates(parameters)


def drive(agent, rules, group=None, seed=BOTH):
    view = View(np.eye(FEATURES), np.zeros(FEATURES))
    rng = np.random.default_rng(seed)
    return practise(agent, (view, view), rules, [3, 4], rng, 2, group)


def test_the_squashing_is_the_controllers():
    raw = np.random.default_rng(1).normal(size=(50, 3)) * 2
    one_to_one = np.concatenate([np.eye(3).ravel(), np.zeros(3)])[None]
    plain = act(one_to_one, np.zeros(50, dtype=np.int64), raw, 0)
    np.testing.assert_allclose(squash(raw), plain, atol=1e-7)


def test_without_noise_and_costs_the_rewards_are_the_environments():
    agent = make_agent(candidates=1)
    experience, _ = drive(agent, STILL)
    fleet, rng = Fleet(2), np.random.default_rng(BOTH)
    rng.integers(1 << 31)
    tracks = [[3, 4][rng.integers(2)] for _ in range(2)]
    assert len(set(tracks)) == 2
    for slot, track in enumerate(tracks):
        fleet.reset(slot, track)
    slots = np.arange(2)
    for step in range(24):
        rewards, _ = fleet.step(slots, squash(experience.raw[step].astype(np.float64)))
        np.testing.assert_allclose(experience.reward[step], rewards, atol=1e-6)


def test_a_segment_goes_on_where_the_one_before_stopped():
    agent = make_agent(candidates=1)
    at_once, _ = drive(agent, STILL)
    half = STILL._replace(steps=12)
    first, group = drive(agent, half)
    second, _ = drive(agent, half, group, seed=2)
    together = np.concatenate([first.features, second.features])
    assert np.array_equal(together, at_once.features)
    assert (at_once.end[:-1] == GOES_ON).all() and (at_once.end[-1] == CUT).all()


def test_the_steps_of_a_decision_share_their_noise_and_their_reward():
    agent = driver_of(gas=0.5)
    rules = STILL._replace(hold=4, noise=0.3, discount=0.9)
    experience, _ = drive(agent, rules)
    single, _ = drive(agent, rules._replace(hold=1, noise=0))
    assert experience.raw.shape == (6, 2, 3)
    noise = experience.raw - [0, 0.5, -1]
    assert noise.std() > 0.1 and len(np.unique(noise)) == noise.size
    quiet, _ = drive(agent, rules._replace(noise=0))
    assert np.array_equal(quiet.raw, np.broadcast_to(np.float32([0, 0.5, -1]), (6, 2, 3)))
    discounted = single.reward.reshape(6, 4, 2) * 0.9 ** np.arange(4)[:, None]
    np.testing.assert_allclose(quiet.reward, discounted.sum(axis=1))
    mean = single.features.reshape(6, 4, 2, FEATURES).mean(axis=1)
    np.testing.assert_allclose(quiet.features, mean, atol=1e-6)
    assert np.array_equal(quiet.seen[:, :, :FEATURES], single.features[::4])


def test_who_stands_still_is_lost_and_pays():
    experience, group = drive(driver_of(gas=-9, brake=9), STILL._replace(patience=10))
    touched, lost = (
        np.flatnonzero(found[:, 0]) for found in (experience.reward > 0, experience.end == LOST)
    )
    assert touched[0] == 0 and lost[0] == 10  # it starts on its first tile
    np.testing.assert_allclose(experience.reward[lost[0], 0], -50.1)
    assert len(experience.returns) == (experience.end == LOST).sum()
    assert (group.steps < 24).all()


def test_with_no_patience_nobody_is_lost():
    experience, group = drive(driver_of(gas=-9, brake=9), STILL._replace(patience=0))
    assert (experience.end[:-1] == GOES_ON).all() and (group.steps == 24).all()


def test_steps_after_an_end_within_a_decision_teach_nothing():
    rules = STILL._replace(hold=6, horizon=9)
    experience, _ = drive(driver_of(gas=1.0), rules)
    single, _ = drive(driver_of(gas=1.0), rules._replace(hold=1))
    assert (experience.end[1] == CUT).all()
    np.testing.assert_allclose(experience.reward[1], single.reward[6:9].sum(axis=0))
    np.testing.assert_allclose(
        experience.features[1], single.features[6:9].mean(axis=0), atol=1e-6
    )


class OneCar:
    """A fleet of one car on a track of 100 tiles, which does as it is told."""

    def __init__(self, touched, reward=0.0, ended=False):
        self.touched = np.isin(np.arange(100), touched)
        self.reward, self.ended = reward, ended

    def visited(self, slot):
        return self.touched

    def step(self, slots, actions):
        return np.array([self.reward]), np.array([self.ended])


def group_of(fleet, steps=0, since_tile=0):
    zeros = [np.zeros(1, dtype=np.int64) for _ in range(2)]
    return Group(fleet, None, None, np.array([steps]), np.array([since_tile]), np.zeros(1), *zeros)


def step_of(group, rules, step=0):
    """What the log has of one step, and whether the episode is over."""
    log = Log(10, 1, 1, 1)
    over = drive_step(group, log, step, np.zeros((1, 3)), rules)
    return log, over == [0]


def test_a_tile_is_missed_once_when_the_car_is_well_past_it():
    group = group_of(OneCar(range(5)))
    assert take_missed(group, 0) == 0 and group.foremost[0] == 4
    group.fleet = OneCar([*range(5), 6, 7])
    assert take_missed(group, 0) == 0  # tile 5 may yet be touched
    group.fleet = OneCar([*range(5), 6, 7, 12])
    assert take_missed(group, 0) == 1
    assert take_missed(group, 0) == 0
    group.fleet = OneCar([*range(5), 6, 7, 12, 99])  # touched from the road beside it
    assert take_missed(group, 0) == 0 and group.foremost[0] == 12


def test_a_tile_left_behind_costs():
    group = group_of(OneCar([0, 1, 3, 4, 9], reward=3.0))
    log, over = step_of(group, STILL._replace(missed_cost=7))
    assert log.reward[0, 0] == 3 - 7 and not over and log.end[0, 0] == GOES_ON


def test_who_leaves_the_playfield_is_lost_and_pays_our_price_for_it():
    log, over = step_of(group_of(OneCar(range(50), reward=-100.0, ended=True)), STILL)
    assert over and log.end[0, 0] == LOST and log.reward[0, 0] == -50


def test_a_whole_lap_and_the_horizon_cut_the_drive():
    lap = group_of(OneCar(range(100), reward=9.9, ended=True))
    late = group_of(OneCar(range(50)), steps=99)
    for group, reward in ((lap, 9.9), (late, 0.0)):
        log, over = step_of(group, STILL)
        assert over and log.end[0, 0] == CUT and log.reward[0, 0] == reward


def test_who_has_come_round_with_tiles_missed_is_not_lost_and_his_search_teaches_nothing():
    log, over = step_of(group_of(OneCar(range(95)), since_tile=3), STILL._replace(patience=4), 7)
    assert over and (log.end[:, 0] == CUT).nonzero()[0].tolist() == [3, 7]
    assert log.counts[:, 0].tolist() == [True] * 3 + [False] * 5 + [True] * 2
    log, over = step_of(group_of(OneCar(range(80)), since_tile=3), STILL._replace(patience=4), 7)
    assert over and log.end[7, 0] == LOST and log.counts.all()


def test_an_episode_begins_with_an_empty_memory():
    agent, rules = make_agent(candidates=1), STILL._replace(horizon=12)
    experience, _ = drive(agent, rules)
    hidden = experience.features[:, :, 8:]
    assert (experience.end[11] == CUT).all()
    assert not hidden[0].any() and hidden[11].any() and not hidden[12].any()


def test_each_car_draws_latents_of_its_own():
    sampled = make_agent(candidates=1, latent="sample")
    first, _ = drive(sampled, STILL._replace(horizon=12), seed=1)  # both cars on one track
    again, _ = drive(sampled, STILL._replace(horizon=12), seed=1)
    z = first.features[:, :, :8]
    assert np.array_equal(first.features, again.features)
    assert (z[0, 0] != z[0, 1]).any() and (z[12, 0] != z[12, 1]).any()


def test_the_critic_is_told_speed_and_road():
    fleet, slots = Fleet(2), np.arange(2)
    for slot, track in enumerate((3, 4)):
        fleet.reset(slot, track)
    still = fleet.situation(np.zeros(2, dtype=np.int64))
    assert still.shape == (2, SITUATION) and np.abs(still[:, :2]).max() < 0.05
    assert (still[:, -len(AHEAD) :][:, 1:] > 0).all()  # the road lies ahead
    for _ in range(60):
        fleet.step(slots, np.float32([[0, 1, 0], [0, 1, 0]]))
    moving = fleet.situation(np.zeros(2, dtype=np.int64))
    for slot in slots:
        vx, vy = fleet.motion(slot)[3:5]
        speed = np.hypot(moving[slot, 0] * 20, moving[slot, 1] * 30)
        assert speed == pytest.approx(np.hypot(vx, vy), rel=1e-6) and speed > 5
        assert moving[slot, 1] > 0.9 * speed / 30  # forwards
    assert (moving[:, 3:7].mean(axis=1) > 0.1).all()  # the wheels spin
