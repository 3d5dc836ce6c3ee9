"""The critic of the record: its targets along drives, and what it learns from them."""

import copy
from dataclasses import replace

import numpy as np
import pytest

from tests.dream.lessons import lesson_of, new_critic
from tests.dream.toys import (
    RULES,
    make_memory,
    make_model,
    make_record,
)
from worldmodels.dream.moments import follow
from worldmodels.dream.record import Record
from worldmodels.dream.step import DreamStep
from worldmodels.dream.values import paid_along, values_along
from worldmodels.pipeline.errors import UserError

DELAY = 4


def test_values_along_are_discounted_sums_with_the_price_of_a_loss():
    record = make_record()
    record.drives[3].by_c[[5, 6, 11]] = False
    found = follow(record.drives, make_memory(), DreamStep(make_model()))
    value = np.random.default_rng(1).normal(size=len(found.step))
    rewards_of = np.concatenate([drive.rewards for drive in record.drives])
    targets = values_along(found, rewards_of, value, 0.9, 1.0, 70.0, DELAY)
    for drive, start in zip(record.drives, found.starts):
        rewards = drive.rewards.astype(float)
        after = 0.0 if drive.lost else value[start + len(drive) - 1]
        if drive.lost:
            rewards[drive.lost_from(DELAY)] -= 70.0
        for step in reversed(range(len(drive))):
            decided = drive.by_c[step]  # else its worth is what the critic says
            after = rewards[step] + 0.9 * after if decided else value[start + step]
            assert targets[start + step] == pytest.approx(after)
    # One step, then the critic's value
    nearer = values_along(found, rewards_of, value, 0.9, 0.0, 70.0, DELAY)
    drive, start = record.drives[3], found.starts[3]
    values = value[start : start + len(drive)]
    expected = np.where(drive.by_c[:-1], drive.rewards[:-1] + 0.9 * values[1:], values[:-1])
    np.testing.assert_allclose(nearer[start : start + len(drive) - 1], expected)


def test_the_record_pays_as_the_dream_does():
    """A recorded step is paid less where the car was off the road, too fast, or sliding."""
    record = make_record()
    found = follow(record.drives, make_memory(), DreamStep(make_model()))
    rules = replace(RULES, off_road_cost=5.0, speed_limit=60.0, speed_cost=0.3)
    rules = replace(rules, sliding_limit=8.0, sliding_cost=0.7)
    paid = paid_along(found, rules)
    for drive, start in zip(record.drives, found.starts):
        speed, aside = np.linalg.norm(drive.moved[:, :2], axis=1), np.abs(drive.moved[:, 1])
        due = drive.rewards - 5.0 * drive.off_road - 0.3 * np.maximum(speed - 60, 0)
        due -= 0.7 * np.maximum(aside - 8, 0)
        assert (speed > 60).any() and (aside > 8).any()
        np.testing.assert_allclose(paid[start : start + len(drive)], due, atol=1e-4)
    free = paid_along(found, RULES)
    np.testing.assert_array_equal(free, np.concatenate([drive.rewards for drive in record.drives]))


def test_the_critic_of_the_record_learns_what_moments_were_worth(toy):
    """From rewards along the drives, as the rules pay them, with the losses that came."""
    lesson, critic = lesson_of(*toy), new_critic()
    inputs = critic.recorded_inputs(lesson)
    explained = [critic.learn(lesson, inputs, 1.0) for _ in range(40)]
    assert explained[-1] > 0.5 > explained[0]
    values, cost = critic.values(inputs), lesson.rules(1.0).lost_cost
    due = values_along(lesson.along, lesson.rewards, values, 0.99, 0.9, cost, 4)
    assert np.corrcoef(values, due)[0, 1] > 0.7


def test_the_critic_of_the_record_learns_from_what_c_decided_alone(toy):
    """In this record every step of the explorer costs points, and every step of C pays well."""
    record, model = toy
    drives = [copy.copy(drive) for drive in record.drives[:8]]
    for number, drive in enumerate(drives):
        drive.by_c = np.full(len(drive), number % 2 == 1)
        drive.rewards = np.where(drive.by_c, 3.0, -3.0).astype(np.float32)
    lesson, critic = lesson_of(Record(drives, explored=8), model), new_critic()
    inputs = critic.recorded_inputs(lesson)
    for _ in range(40):
        critic.learn(lesson, inputs, 1.0)
    by_c, values = lesson.along.by_c, critic.values(inputs)
    assert values[by_c].mean() > 5 and values[~by_c].mean() > 5


def test_a_critic_that_is_not_finite_is_reported(toy):
    lesson, critic = lesson_of(*toy), new_critic()
    inputs = np.full_like(critic.recorded_inputs(lesson), np.nan)
    with pytest.raises(UserError, match=r"dream\.ppo\.record_critic\.learning_rate"):
        critic.learn(lesson, inputs, 1.0)
