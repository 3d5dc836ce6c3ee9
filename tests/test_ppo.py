"""C that learns while it drives: what is practised, what is learnt from it, and going on."""

import numpy as np
import pytest
import torch

from tests.test_driving import make_agent
from worldmodels import learning
from worldmodels.checkpoint import Checkpoint
from worldmodels.controller import ACTIONS, act
from worldmodels.environment.fleet import AHEAD, SITUATION, Fleet
from worldmodels.errors import UserError
from worldmodels.learning import PPOConfig, learn
from worldmodels.ppo import Learner, LearningConfig, advantages, along
from worldmodels.practice import (
    CUT,
    GOES_ON,
    LOST,
    Experience,
    Group,
    Rules,
    View,
    practise,
    squash,
    take_missed,
)
from worldmodels.search_space import raw_space
from worldmodels.workers import run_chunks

FEATURES = 8 + 16  # of make_agent
LEARNING = {
    "gae_lambda": 0.9,
    "clip": 0.2,
    "epochs": 4,
    "batch_size": 64,
    "learning_rate": [0.01, 0.01],
    "critic_learning_rate": [0.01, 0.01],
    "critic_units": 8,
}
CONFIG = PPOConfig(
    **LEARNING,
    hidden_components=4,
    cars=3,
    tracks=2,
    steps=12,
    hold=4,
    noise=[0.4, 0.1],
    discount=0.99,
    lost_cost=[10.0, 20.0],
    missed_cost=[1.0, 2.0],
)
STILL = Rules(
    steps=24, hold=1, noise=0, horizon=100, patience=100, discount=1, lost_cost=50, missed_cost=0
)


def driver_of(steering=0.0, gas=0.0, brake=-1.0):
    """An agent that always does the same."""
    agent = make_agent(candidates=1)
    parameters = np.zeros_like(agent.parameters)
    parameters[0, -ACTIONS:] = steering, gas, brake
    return agent.with_candidates(parameters)


def drive(agent, rules, group=None, cars=2, seed=1):
    view = View(np.eye(FEATURES), np.zeros(FEATURES))
    rng = np.random.default_rng(seed)
    return practise(agent, (view, view), rules, [3, 4], rng, cars, group)


def test_the_squashing_is_the_controllers():
    raw = np.random.default_rng(1).normal(size=(50, 3)) * 2
    one_to_one = np.concatenate([np.eye(3).ravel(), np.zeros(3)])[None]
    plain = act(one_to_one, np.zeros(50, dtype=np.int64), raw, 0)
    np.testing.assert_allclose(squash(raw), plain, atol=1e-7)


def test_without_noise_and_costs_the_rewards_are_the_environments():
    agent = make_agent(candidates=1)
    experience, _ = drive(agent, STILL)
    fleet, rng = Fleet(2), np.random.default_rng(1)
    rng.integers(1 << 31)
    for slot in range(2):
        fleet.reset(slot, [3, 4][rng.integers(2)])
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
    assert len(experience.returns) == (experience.end == LOST).sum() and experience.whole == 0
    assert (group.steps < 24).all()


def test_steps_after_an_end_within_a_decision_teach_nothing():
    rules = STILL._replace(hold=6, horizon=9)
    experience, _ = drive(driver_of(gas=1.0), rules)
    single, _ = drive(driver_of(gas=1.0), rules._replace(hold=1))
    assert (experience.end[1] == CUT).all()
    np.testing.assert_allclose(experience.reward[1], single.reward[6:9].sum(axis=0))
    np.testing.assert_allclose(
        experience.features[1], single.features[6:9].mean(axis=0), atol=1e-6
    )


class Visits:
    """Stands in for a fleet of which only the tiles count."""

    def __init__(self, touched):
        self.touched = np.isin(np.arange(100), touched)

    def visited(self, slot):
        return self.touched


def test_a_tile_is_missed_once_when_the_car_is_well_past_it():
    zeros = np.zeros((4, 1), dtype=np.int64)
    group = Group(Visits(range(5)), None, None, *zeros[:2], np.zeros(1), *zeros[2:])
    assert take_missed(group, 0) == 0 and group.foremost[0] == 4
    group.fleet = Visits([*range(5), 6, 7])
    assert take_missed(group, 0) == 0  # tile 5 may yet be touched
    group.fleet = Visits([*range(5), 6, 7, 12])
    assert take_missed(group, 0) == 1
    assert take_missed(group, 0) == 0
    group.fleet = Visits([*range(5), 6, 7, 12, 99])  # touched from the neighbouring straight
    assert take_missed(group, 0) == 0 and group.foremost[0] == 12


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


def test_advantages_are_the_discounted_sums_of_what_was_better_than_foreseen():
    rng = np.random.default_rng(1)
    reward, value = rng.normal(size=(2, 7, 3))
    end = np.zeros((7, 3), dtype=np.int8)
    end[2, 0], end[4, 1], end[-1] = LOST, CUT, CUT
    found = advantages(reward, value, end, 0.9, 0.8)
    for car in range(3):
        for start in range(7):
            total, factor = 0.0, 1.0
            for step in range(start, 7):
                if end[step, car] == CUT:
                    break
                after = 0 if end[step, car] == LOST else value[step + 1, car]
                total += factor * (reward[step, car] + 0.9 * after - value[step, car])
                if end[step, car] == LOST:
                    break
                factor *= 0.9 * 0.8
            assert found[start, car] == pytest.approx(total)


def lesson(learner, wanted, noise, rng):
    """Decisions of one step each, worth the more the nearer the action is to what is wanted."""
    features = rng.normal(size=(256, 1, 4)).astype(np.float32)
    raw = features @ learner.weights.detach().numpy().T + learner.bias.detach().numpy()
    raw = (raw + noise * rng.standard_normal(raw.shape)).astype(np.float32)
    reward = -np.square(raw - (features @ wanted.T)).sum(axis=2)
    end = np.full((256, 1), LOST, dtype=np.int8)
    counts = np.ones((256, 1), dtype=bool)
    return Experience(features, raw, features, reward, end, counts, np.zeros(0), 0)


def test_the_actor_learns_what_pays():
    rng = np.random.default_rng(1)
    wanted = rng.normal(size=(3, 4))
    learner = Learner(4, 4, LearningConfig(**LEARNING), 1)
    for _ in range(150):
        learner.update([lesson(learner, wanted, 0.3, rng)], 0.3, 1.0, 0.0)
    assert np.abs(learner.point[:12].reshape(3, 4) - wanted).max() < 0.15
    assert np.abs(learner.point[12:]).max() < 0.15


def test_the_critic_learns_what_comes():
    rng = np.random.default_rng(1)
    learner = Learner(4, 4, LearningConfig(**LEARNING), 1)
    experience = lesson(learner, np.ones((3, 4)), 0.3, rng)
    experience = experience._replace(reward=20.0 * experience.seen[:, :, 0])
    foreseen = [learner.update([experience], 0.3, 1.0, 0.0) for _ in range(50)]
    assert foreseen[0] < 0.5 and foreseen[-1] > 0.95


def test_what_does_not_count_is_not_learnt_from():
    rng = np.random.default_rng(1)
    learners = [Learner(4, 4, LearningConfig(**LEARNING), 1) for _ in range(2)]
    whole = lesson(learners[0], np.ones((3, 4)), 0.3, rng)
    half = Experience(*(part[:128] for part in whole[:6]), np.zeros(0), 0)
    masked = whole._replace(counts=np.arange(256)[:, None] < 128)
    for learner, experience in zip(learners, (half, masked)):
        learner.update([experience], 0.3, 1.0, 0.0)
    assert np.array_equal(learners[0].point, learners[1].point)


def test_a_loss_that_is_no_number_names_the_params_to_lower():
    rng = np.random.default_rng(1)
    learner = Learner(4, 4, LearningConfig(**LEARNING), 1)
    experience = lesson(learner, np.ones((3, 4)), 0.3, rng)
    with pytest.raises(UserError, match=r"ppo\.learning_rate"):
        learner.update([experience._replace(reward=experience.reward * np.nan)], 0.3, 1.0, 0.0)


def test_values_run_along_a_geometric_series():
    assert [along([0.4, 0.1], share) for share in (0, 0.5, 1)] == pytest.approx([0.4, 0.2, 0.1])


def taught(updates=4, checkpoint=None, config=CONFIG):
    space = raw_space("z+h", FEATURES)
    limits, seen = (30, 10), []

    def validate(point):
        seen.append(point)
        return 1.0

    course = learn(
        config,
        updates,
        limits,
        make_agent(),
        (space, space),
        1,
        "first",
        validate,
        2,
        checkpoint or Checkpoint(None),
    )
    return course, seen


def test_c_stopped_and_resumed_is_c_trained_at_once(tmp_path, monkeypatch):
    at_once, seen = taught()
    assert at_once.env_steps == 4 * 12 * 3 and len(at_once.rows) == 4
    assert [row["validation"] for row in at_once.rows] == [1.0, "", 1.0, ""]
    assert len(seen) == 2 and not seen[0].any() and seen[1].any()

    calls = []

    def stop_at_third(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return run_chunks(*arguments)

    monkeypatch.setattr(learning, "run_chunks", stop_at_third)
    monkeypatch.setattr("worldmodels.checkpoint.SECONDS_BETWEEN", 0)
    with pytest.raises(KeyboardInterrupt), Checkpoint(tmp_path) as checkpoint:
        taught(checkpoint=checkpoint)
    with Checkpoint(tmp_path) as checkpoint:
        resumed, _ = taught(checkpoint=checkpoint)
    assert len(calls) == 5  # two updates before, two after
    assert np.array_equal(resumed.learner.point, at_once.learner.point)
    assert resumed.rows == at_once.rows


def test_what_is_learnt_does_not_depend_on_the_number_of_workers(monkeypatch):
    config = CONFIG.model_copy(update={"cars": 34})  # two groups
    points = []
    for workers in "1", "2":
        monkeypatch.setenv("WM_WORKERS", workers)
        points.append(taught(updates=2, config=config)[0].learner.point)
    assert np.array_equal(*points) and points[0].any()


def test_a_segment_that_is_no_multiple_of_a_decision_is_refused():
    with pytest.raises(UserError, match=r"ppo\.steps is 12, no multiple of ppo\.hold, 5"):
        taught(config=CONFIG.model_copy(update={"hold": 5}))


def test_practice_draws_the_latents_that_params_ask_for():
    torch.manual_seed(1)
    sampled = make_agent(candidates=1, latent="sample")
    first, _ = drive(sampled, STILL)
    again, _ = drive(sampled, STILL)
    other, _ = drive(sampled, STILL, seed=2)
    assert np.array_equal(first.features, again.features)
    assert not np.array_equal(first.features[0], other.features[0])
