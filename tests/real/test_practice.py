"""Practice: what a segment logs, and how its episodes end."""

from collections import deque
from types import SimpleNamespace

import numpy as np
import pytest

from tests.agents import PRIVILEGED, make_agent
from worldmodels.control.search_space import raw_space
from worldmodels.driving.limits import Limits
from worldmodels.environment.actions import squash
from worldmodels.environment.interface import ACTION_SIZE
from worldmodels.environment.privileged import Privileged
from worldmodels.environment.vector_env import VectorCarRacing
from worldmodels.ppo.algorithm import GOES_ON, TERMINATED, TRUNCATED
from worldmodels.real.practice import PracticeJob
from worldmodels.real.segment import Log, PracticeGroup, Rules, step_and_log

FEATURES = 8 + 16  # of make_agent
BOTH = 5  # a seed that draws both tracks
STILL = Rules(
    steps=24,
    hold=1,
    noise=0,
    limits=Limits(100, 100),
    discount=1,
    lost_cost=50,
    missed_cost=0,
    replay_share=0,
    replay_tracks=3,
)
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


class OneCar:
    """An environment of one car at the start of a track of 100 tiles, which does as it is told."""

    observations = np.zeros((1, 64, 64, 3), dtype=np.uint8)

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


def group_of(env, steps=0, idle=0):
    counts = np.array([steps]), np.array([idle])
    privileged, tracks = Privileged(env, PRIVILEGED), np.array([7])
    return PracticeGroup(privileged, None, *counts, np.zeros(1), tracks, deque())


def step_of(group, rules, step=0):
    """The log of one step, and whether the episode is over."""
    log = Log(100, 1, 1)
    over = step_and_log(group, log, step, np.zeros((1, 3)), rules)
    return log, over == [0]


def test_a_tile_is_missed_once_when_the_car_is_well_past_it():
    privileged = Privileged(OneCar(range(5)), PRIVILEGED)
    assert privileged.newly_missed(0) == 0 and privileged.foremost[0] == 4
    privileged.env = OneCar([*range(5), 6, 7])
    assert privileged.newly_missed(0) == 0  # tile 5 may yet be touched
    privileged.env = OneCar([*range(5), 6, 7, 12])
    assert privileged.newly_missed(0) == 1
    assert privileged.newly_missed(0) == 0
    privileged.env = OneCar([*range(5), 6, 7, 12, 99])  # touched from the road next to it
    assert privileged.newly_missed(0) == 0 and privileged.foremost[0] == 12


def test_a_tile_left_behind_is_charged():
    group = group_of(OneCar([0, 1, 3, 4, 9], reward=3.0))
    log, over = step_of(group, STILL._replace(missed_cost=7))
    assert log.reward[0, 0] == 3 - 7 and not over and log.end[0, 0] == GOES_ON


def test_our_price_replaces_the_environments_for_leaving_the_playfield():
    log, over = step_of(group_of(OneCar(range(50), reward=-100.0, ended=True)), STILL)
    assert over and log.end[0, 0] == TERMINATED and log.reward[0, 0] == -50


def test_a_complete_lap_and_the_horizon_truncate_the_episode():
    lap = group_of(OneCar(range(100), reward=9.9, ended=True))
    late = group_of(OneCar(range(50)), steps=99)
    for group, reward in ((lap, 9.9), (late, 0.0)):
        log, over = step_of(group, STILL)
        assert over and log.end[0, 0] == TRUNCATED and log.reward[0, 0] == reward


def come_round(touched):
    """A car that has touched these tiles and, for COAST steps, no other."""
    group = group_of(OneCar(touched), idle=COAST - 1)
    group.privileged.foremost[0], group.privileged.missed[0] = max(touched), 1
    return group, STILL._replace(missed_cost=7)


def test_a_lap_that_came_round_pays_for_missed_tiles_and_its_last_steps_do_not_count():
    log, over = step_of(*come_round([*range(90), 91, 92, 93, 94, 96]), 40)
    assert over and log.end[:, 0].nonzero()[0].tolist() == [40 - COAST, 40]
    assert (log.end[[40 - COAST, 40], 0] == TRUNCATED).all()
    assert log.reward[40 - COAST, 0] == -7 * 4  # 90, 95, 97 to 99; one of them is paid for
    assert (~log.counts[:, 0]).nonzero()[0].tolist() == list(range(40 - COAST + 1, 41))


def test_a_lap_has_not_come_round_before_the_first_tiles():
    group, rules = come_round([*range(94), 95])
    group.privileged.env.at = 96.0
    log, over = step_of(group, rules, 40)
    assert not over and not log.end.any() and not log.reward.any()
    group.privileged.env.at = 2.0
    log, over = step_of(group, rules, 41)
    assert over and log.end[:, 0].nonzero()[0].tolist() == [40 - COAST, 41]


def test_steps_after_a_lap_in_an_earlier_segment_do_not_count():
    log, over = step_of(*come_round(range(96)), COAST - 3)
    assert over and log.end[:, 0].nonzero()[0].tolist() == [COAST - 3]
    assert not log.counts[: COAST - 2].any() and log.counts[COAST - 2 :].all()
    assert not log.reward.any()


def test_a_car_without_a_new_tile_before_the_end_of_the_lap_is_lost():
    log, over = step_of(*come_round(range(90)), 40)
    assert not over
    group = group_of(OneCar(range(90)), idle=99)
    group.privileged.foremost[0] = 89
    log, over = step_of(group, STILL, 40)
    assert over and log.end[40, 0] == TERMINATED and log.counts.all()
    assert log.reward[40, 0] == -50 and list(group.lost_on) == [7]


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
