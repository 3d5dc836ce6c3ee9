"""The record that grows: what is added, what counts as lost, and the windows cut out of it."""

import numpy as np
import pytest

from tests.dream.toys import (
    LATENTS,
    make_drive,
    make_record,
    record_segments,
)
from worldmodels.dream.record import Record
from worldmodels.dream.recording import EpisodeEnd, Segment, has_come_round
from worldmodels.dream.windows import Windows
from worldmodels.environment.frames import POSE_DTYPE
from worldmodels.environment.rewards import LAP_REWARD, LEFT_PLAYFIELD, STEP_COST
from worldmodels.pipeline.errors import UserError
from worldmodels.records.latents import Latents

DELAY = 4


def test_a_lost_car_counts_as_lost_some_steps_after_its_last_tile():
    drive = make_drive(40, lost=True)  # its last tile comes at step 27
    assert drive.lost_from(DELAY) == 31
    assert drive.lost_from(100) == 40
    assert make_drive(40).lost_from(DELAY) == 40


def test_the_newest_drives_are_those_under_way_last_not_those_that_began_last():
    record = record_segments(4, steps=20, envs=2, patience=8)
    ages = {  # steps since the last frame of each drive
        index: 80 - drive.until for index, drive in enumerate(record.drives)
    }
    assert sorted(ages.values())[:2] == [0, 0]  # under way in both environments
    for steps in (1, 15, 40, 80):
        assert record.newest(2 * steps) == [index for index, age in ages.items() if age < steps]
    assert record.newest(10_000) == list(ages)
    for steps in (15, 40, 80):  # the last frames of the newest drives are the last frames driven
        chosen = record.newest(2 * steps)
        fresh = [len(record.drives[i]) - record.newest_from(i, 2 * steps) for i in chosen]
        assert sum(fresh) == 2 * steps
    assert Record([make_drive(10, lost=True)], explored=1).newest(100) == []


def test_a_car_that_has_come_round_is_not_lost_where_it_drives_again():
    """It is given nothing for road that it has driven before, which looks like any road."""
    rewards = np.full(40, -STEP_COST, np.float32)
    rewards[[3, 9, 20]] += 0.31 * LAP_REWARD
    latents = Latents(
        mu=np.zeros((80, LATENTS), np.float16),
        logvar=np.zeros((80, LATENTS), np.float16),
        actions=np.zeros((80, 3), np.float16),
        rewards=np.concatenate([rewards, np.where(np.arange(40) < 20, rewards, -0.1)]),
        terminated=np.zeros(80, dtype=bool),
        episode=np.repeat(np.array([0, 1], np.int32), 40),
    )
    whole, most = Record.of_explorer(latents, np.zeros(80, POSE_DTYPE), 15).drives
    assert (len(whole), whole.lost) == (21, False)
    assert (len(most), most.lost) == (25, True)
    assert has_come_round(0.9 * LAP_REWARD - 40 * STEP_COST, 40)
    assert not has_come_round(0.89 * LAP_REWARD - 40 * STEP_COST, 40)


@pytest.mark.parametrize("came_round", [True, False])
def test_what_follows_the_last_tile_of_a_lap_is_forgotten(came_round):
    steps, rewards = 30, np.full((30, 1), -0.1, np.float32)
    rewards[:21:3] = 3.0
    end = EpisodeEnd(0, 27, False, not came_round, came_round, 1.0, 5, np.zeros(9, np.uint16))
    segment = Segment(
        poses=np.zeros((steps, 1), POSE_DTYPE),
        mu=np.random.default_rng(1).normal(size=(steps, 1, LATENTS)).astype(np.float32),
        actions=np.zeros((steps, 1, 3), np.float16),
        rewards=rewards,
        by_c=np.arange(steps)[:, None] % 4 > 0,
        ends=[end],
        tracks=np.array([6]),
        touched_at=[np.zeros(9, np.uint16)],
    )
    record = Record([], explored=0)
    record.add(segment, 0)
    drive, following = record.drives
    assert drive.over and drive.lost != came_round
    assert len(drive) == len(drive.mu) == len(drive.actions) == (19 if came_round else 28)
    np.testing.assert_array_equal(drive.by_c, np.arange(len(drive)) % 4 > 0)
    assert drive.until == len(drive) and following.until == 30
    assert drive.scene is not None and len(drive.scene.rewards) == 28  # all can be drawn
    assert len(following) == 2


def test_the_explorers_lost_cars_are_cut_off_and_leaving_the_playfield_is_no_reward():
    rewards = np.array([3.0, -0.1, -0.1, -0.1, -0.1, 3.0, 3.0, LEFT_PLAYFIELD], np.float32)
    latents = Latents(
        mu=np.zeros((8, LATENTS), np.float16),
        logvar=np.zeros((8, LATENTS), np.float16),
        actions=np.zeros((8, 3), np.float16),
        rewards=rewards,
        terminated=np.arange(8) == 7,
        episode=np.array([0] * 5 + [1] * 3, np.int32),
    )
    poses = np.zeros(8, POSE_DTYPE)
    poses["on_road"][:3] = 4, 1, 2
    poses["hull"][:, 0] = [0, 0.6, 1.0, 5, 5, 7, 7.5, 9.5]
    poses["hull"][:, 1] = [0, 0.8, 0.8, 0, 0, 1, 1, 1]
    poses["hull"][5:, 2] = -np.pi / 2
    idle, left = Record.of_explorer(latents, poses, 2).drives
    assert (len(idle), idle.lost) == (3, True)
    assert (len(left), left.lost) == (3, True)
    assert left.rewards[-1] == np.float32(-STEP_COST)
    assert idle.off_road.tolist() == [0.5, 0, 0] and left.off_road.tolist() == [1, 1, 1]
    np.testing.assert_allclose(idle.motion[:, 0], [0, 40, 0], atol=1e-4)  # it faces along y
    np.testing.assert_allclose(idle.motion[:, 1], [0, 30, 20], atol=1e-4)
    np.testing.assert_allclose(left.motion[:, 0], [0, 25, 100], atol=1e-4)  # it faces along x
    np.testing.assert_allclose(left.moved[:, 0], [25, 100, 100], atol=1e-4)
    np.testing.assert_array_equal(left.latents, np.concatenate([left.mu, left.motion], axis=1))
    with pytest.raises(UserError, match="no car is lost in the record"):
        rich = Latents(**vars(latents) | {"rewards": np.full(8, 3.0, np.float32)})
        Record.of_explorer(rich, poses, 5)


def test_windows_hold_what_the_drives_do_and_label_the_lost():
    record = make_record()
    windows = Windows(record, [2], DELAY, 3)
    batch = windows.draw(200, 10, np.random.default_rng(1))
    drive = record.drives[2]
    for row in range(200):
        first = batch["latents"][row, 0].numpy()
        at = int(np.flatnonzero((drive.latents == first).all(axis=1))[0])
        steps = min(10, len(drive) - at)
        assert batch["is_step"][row].sum() == steps
        np.testing.assert_array_equal(batch["reward"][row, :steps], drive.rewards[at : at + steps])
        ahead = [drive.rewards[now : now + 3].mean() for now in range(at, at + steps)]
        np.testing.assert_allclose(batch["ahead"][row, :steps], ahead, rtol=1e-5, atol=1e-6)
        expected = np.arange(at, at + steps) >= drive.lost_from(DELAY)
        np.testing.assert_array_equal(batch["lost"][row, :steps], expected)
        following = min(10, len(drive) - at - 1)
        assert batch["has_next"][row].sum() == following
        np.testing.assert_array_equal(
            batch["latents"][row, 1 : following + 1], drive.latents[at + 1 : at + 1 + following]
        )
        np.testing.assert_array_equal(
            batch["off_road"][row, :steps], drive.off_road[at : at + steps]
        )
    assert batch["lost"].sum() > 0
