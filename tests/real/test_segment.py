"""One step of practice: what it costs, and which episodes end with it."""

from collections import deque
from types import SimpleNamespace

import numpy as np

from tests.agents import PRIVILEGED
from tests.real.rules import STILL
from worldmodels.environment.privileged import Privileged
from worldmodels.ppo.rollout import GOES_ON, TERMINATED, TRUNCATED
from worldmodels.real.segment import Log, PracticeGroup, step_and_log

COAST = PRIVILEGED.coast


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
    assert log.reward[40 - COAST, 0] == -7 * 4  # 90, 95, 97 to 99; one was charged before
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
