"""Driving with noise to learn from it: what a segment notes, and how its episodes end."""

from collections import deque
from types import SimpleNamespace

import numpy as np
import pytest

from tests.agents import make_agent
from worldmodels.control.controller import ACTIONS, squash
from worldmodels.control.search_space import raw_space
from worldmodels.environment.privileged import AHEAD, DISTANCE, SITUATION, SPEED, situation
from worldmodels.environment.vector_env import VectorCarRacing
from worldmodels.ppo.practice import (
    COAST,
    GOES_ON,
    TERMINATED,
    TRUNCATED,
    Group,
    Log,
    Rules,
    drive_step,
    practise,
    take_missed,
)

FEATURES = 8 + 16  # of make_agent
BOTH = 5  # a seed that draws both tracks
STILL = Rules(
    steps=24,
    hold=1,
    noise=0,
    horizon=100,
    patience=100,
    discount=1,
    lost_cost=50,
    missed_cost=0,
    replay_share=0,
    replay_tracks=3,
)


def driver_of(steering=0.0, gas=0.0, brake=-1.0):
    """An agent that always does the same."""
    agent = make_agent(candidates=1)
    parameters = np.zeros_like(agent.parameters)
    parameters[0, -ACTIONS:] = steering, gas, brake
    return agent.with_candidates(parameters)


def drive(agent, rules, group=None, seed=BOTH):
    space, rng = raw_space("z+h", FEATURES), np.random.default_rng(seed)
    return practise(agent, space, FEATURES, rules, [3, 4], rng, 2, group)


def test_without_noise_and_costs_the_rewards_are_the_environments():
    agent = make_agent(candidates=1)
    rollout, _ = drive(agent, STILL)
    fleet, rng = VectorCarRacing(2), np.random.default_rng(BOTH)
    rng.integers(1 << 31)
    tracks = [[3, 4][rng.integers(2)] for _ in range(2)]
    assert len(set(tracks)) == 2
    for slot, track in enumerate(tracks):
        fleet.reset(slot, track)
    slots = np.arange(2)
    for step in range(24):
        rewards, _ = fleet.step(slots, squash(rollout.raw[step].astype(np.float64)))
        np.testing.assert_allclose(rollout.reward[step], rewards, atol=1e-6)


def test_a_segment_goes_on_where_the_one_before_stopped():
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


def test_who_stands_still_is_lost_and_pays():
    rollout, group = drive(driver_of(gas=-9, brake=9), STILL._replace(patience=10))
    touched, lost = (
        np.flatnonzero(found[:, 0]) for found in (rollout.reward > 0, rollout.end == TERMINATED)
    )
    assert touched[0] == 0 and lost[0] == 10  # it starts on its first tile
    np.testing.assert_allclose(rollout.reward[lost[0], 0], -50.1)
    assert len(rollout.scores) == (rollout.end == TERMINATED).sum()
    assert (group.steps < 24).all()
    whole, _ = drive(driver_of(gas=-9, brake=9), STILL._replace(steps=104))
    np.testing.assert_allclose(rollout.scores[:2], whole.scores)  # as if driven to the horizon


@pytest.mark.parametrize("again", [0, 1])
def test_the_latest_tracks_on_which_a_car_was_lost_are_driven_again(again):
    rules, begun = STILL._replace(patience=10, replay_share=again), set()
    agent = driver_of(gas=-9, brake=9)
    for seed in range(8):
        _, group = drive(agent, rules._replace(steps=1))
        assert sorted(group.tracks) == [3, 4]
        group.lost_on.extend([66, 77])
        _, group = drive(agent, rules._replace(steps=11), group, seed)  # both lost, two begin
        assert sorted(group.lost_on) == [3, 4, 77]  # of three that are kept, whatever begins
        begun |= set(group.tracks)
    assert begun == ({3, 4, 77} if again else {3, 4})


def test_with_no_patience_nobody_is_lost():
    rollout, group = drive(driver_of(gas=-9, brake=9), STILL._replace(patience=0))
    assert (rollout.end[:-1] == GOES_ON).all() and (group.steps == 24).all()


def test_steps_after_an_end_within_a_decision_teach_nothing():
    rules = STILL._replace(hold=6, horizon=9)
    rollout, _ = drive(driver_of(gas=1.0), rules)
    single, _ = drive(driver_of(gas=1.0), rules._replace(hold=1))
    assert (rollout.end[1] == TRUNCATED).all()
    np.testing.assert_allclose(rollout.reward[1], single.reward[6:9].sum(axis=0))
    np.testing.assert_allclose(rollout.features[1], single.features[6:9].mean(axis=0), atol=1e-6)


class OneCar:
    """A fleet of one car at the start of a track of 100 tiles, which does as it is told."""

    def __init__(self, touched, reward=0.0, ended=False):
        self.touched = np.isin(np.arange(100), touched)
        self.reward, self.ended, self.at = reward, ended, 0.0
        circles = np.stack([np.arange(100), np.zeros(100), np.ones(100)], axis=1)[None]
        self.tracks = SimpleNamespace(circles=circles, lengths=[100])

    def motion(self, slot):
        return np.array([self.at, 0.0])

    def visited(self, slot):
        return self.touched

    def step(self, slots, actions):
        return np.array([self.reward]), np.array([self.ended])


def group_of(fleet, steps=0, since_tile=0):
    counts = np.array([steps]), np.array([since_tile])
    foremost, missed, tracks = (np.array([number]) for number in (0, 0, 7))
    return Group(fleet, None, None, *counts, np.zeros(1), foremost, missed, tracks, deque())


def step_of(group, rules, step=0):
    """What the log has of one step, and whether the episode is over."""
    log = Log(100, 1, 1)
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
    assert over and log.end[0, 0] == TERMINATED and log.reward[0, 0] == -50


def test_a_whole_lap_and_the_horizon_cut_the_drive():
    lap = group_of(OneCar(range(100), reward=9.9, ended=True))
    late = group_of(OneCar(range(50)), steps=99)
    for group, reward in ((lap, 9.9), (late, 0.0)):
        log, over = step_of(group, STILL)
        assert over and log.end[0, 0] == TRUNCATED and log.reward[0, 0] == reward


def come_round(touched):
    """A car that has touched these tiles and, for COAST steps, no other."""
    group = group_of(OneCar(touched), since_tile=COAST - 1)
    group.foremost[0], group.missed[0] = max(touched), 1
    return group, STILL._replace(missed_cost=7)


def test_who_has_come_round_pays_for_tiles_missed_and_his_search_teaches_nothing():
    log, over = step_of(*come_round([*range(90), 91, 92, 93, 94, 96]), 40)
    assert over and log.end[:, 0].nonzero()[0].tolist() == [40 - COAST, 40]
    assert (log.end[[40 - COAST, 40], 0] == TRUNCATED).all()
    assert log.reward[40 - COAST, 0] == -7 * 4  # 90, 95, 97 to 99; one of them is paid for
    assert (~log.counts[:, 0]).nonzero()[0].tolist() == list(range(40 - COAST + 1, 41))


def test_who_finds_no_tile_for_a_while_at_the_end_of_the_lap_has_not_come_round_yet():
    group, rules = come_round([*range(94), 95])
    group.fleet.at = 96.0
    log, over = step_of(group, rules, 40)
    assert not over and not log.end.any() and not log.reward.any()
    group.fleet.at = 2.0
    log, over = step_of(group, rules, 41)
    assert over and log.end[:, 0].nonzero()[0].tolist() == [40 - COAST, 41]


def test_who_came_round_in_the_segment_before_has_no_more_to_learn():
    log, over = step_of(*come_round(range(96)), COAST - 3)
    assert over and log.end[:, 0].nonzero()[0].tolist() == [COAST - 3]
    assert not log.counts[: COAST - 2].any() and log.counts[COAST - 2 :].all()
    assert not log.reward.any()


def test_who_finds_no_tile_before_the_end_of_the_lap_is_lost():
    log, over = step_of(*come_round(range(90)), 40)
    assert not over
    group = group_of(OneCar(range(90)), since_tile=99)
    group.foremost[0] = 89
    log, over = step_of(group, STILL, 40)
    assert over and log.end[40, 0] == TERMINATED and log.counts.all()
    assert log.reward[40, 0] == -50 and list(group.lost_on) == [7]


def test_an_episode_begins_with_an_empty_memory():
    agent, rules = make_agent(candidates=1), STILL._replace(horizon=12)
    rollout, _ = drive(agent, rules)
    hidden = rollout.features[:, :, 8:]
    assert (rollout.end[11] == TRUNCATED).all()
    assert not hidden[0].any() and hidden[11].any() and not hidden[12].any()


def test_each_car_draws_latents_of_its_own():
    sampled = make_agent(candidates=1, latent="sample")
    first, _ = drive(sampled, STILL._replace(horizon=12), seed=1)  # both cars on one track
    again, _ = drive(sampled, STILL._replace(horizon=12), seed=1)
    z = first.features[:, :, :8]
    assert np.array_equal(first.features, again.features)
    assert (z[0, 0] != z[0, 1]).any() and (z[12, 0] != z[12, 1]).any()


def test_the_critic_is_told_speed_and_road():
    fleet, slots = VectorCarRacing(2), np.arange(2)
    for slot, track in enumerate((3, 4)):
        fleet.reset(slot, track)
    still = situation(fleet, np.zeros(2, dtype=np.int64))
    assert still.shape == (2, SITUATION) and np.abs(still[:, :2]).max() < 0.05
    assert (still[:, -len(AHEAD) :][:, 1:] > 0).all()  # the road lies ahead
    for _ in range(60):
        fleet.step(slots, np.float32([[0, 1, 0], [0, 1, 0]]))
    moving = situation(fleet, np.zeros(2, dtype=np.int64))
    for slot in slots:
        vx, vy = fleet.motion(slot)[3:5]
        speed = SPEED * np.hypot(moving[slot, 0], moving[slot, 1])
        assert speed == pytest.approx(np.hypot(vx, vy), rel=1e-6) and speed > 5
        assert moving[slot, 1] > 0.9 * speed / SPEED  # forwards
    assert (moving[:, 3:7].mean(axis=1) > 0.1).all()  # the wheels spin


def test_every_number_the_critic_is_told_is_in_its_column():
    fleet = VectorCarRacing(1)
    fleet.reset(0, 3)
    for _ in range(40):
        fleet.step(np.zeros(1, dtype=np.int64), np.float32([[0.3, 1, 0]]))
    x, y, angle, vx, vy, spin = fleet.motion(0)[:6].astype(np.float64)
    right = np.array([np.cos(angle), np.sin(angle)])
    ahead = np.array([-np.sin(angle), np.cos(angle)])
    tiles = (290 + AHEAD) % fleet.tracks.lengths[0]
    roads = [fleet.tracks.shapes[0, tile, : fleet.tracks.shape_counts[0, tile]] for tile in tiles]
    away = np.array([road.mean(axis=0) - (x, y) for road in roads]) / DISTANCE
    speed = np.array([vx, vy]) / SPEED
    expected = [speed @ right, speed @ ahead, spin, *fleet.state.omega[0] / 100]
    expected += [*fleet.poses["wheel_angle"][0], *fleet.state.on_road[0]]
    expected += [*np.clip(away @ right, -4, 4), *np.clip(away @ ahead, -4, 4)]
    np.testing.assert_allclose(situation(fleet, np.array([290]))[0], expected, atol=1e-4)
    assert abs(spin) > 0.1 and speed @ ahead > 0.2 and np.abs(away).max() > 1
