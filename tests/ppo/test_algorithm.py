"""PPO: advantages, what the actor and the critic learn, and a training that can be resumed."""

import numpy as np
import pytest
import torch

from tests.agents import PRIVILEGED, make_agent
from tests.devices import each_device
from worldmodels.control.controller import outputs
from worldmodels.control.search_space import SearchSpace, raw_space
from worldmodels.driving.limits import Limits
from worldmodels.pipeline.errors import UserError
from worldmodels.ppo.algorithm import (
    TERMINATED,
    TRUNCATED,
    AlgorithmConfig,
    Learner,
    Rollout,
    advantages,
)
from worldmodels.real import by_ppo as train_module
from worldmodels.real.by_ppo import PPOConfig, PracticeSetup, train_by_ppo
from worldmodels.runtime.checkpoint import Checkpoint
from worldmodels.training.budget import Budget
from worldmodels.workers.processes import run_in_processes

FEATURES = 8 + 16  # of make_agent
LEARNING = {
    "gae_lambda": 0.9,
    "clip": 0.2,
    "epochs": 4,
    "batch_size": 64,
    "learning_rate": [0.01, 0.01],
    "critic_learning_rate": [0.01, 0.01],
    "critic_units": 8,
    "value_scale": 50.0,
    "output_cost": [0.0, 0.0, 0.0],
}
CONFIG = PPOConfig(
    **LEARNING,
    hidden_components=4,
    envs=3,
    tracks=2,
    steps=12,
    hold=4,
    noise=[0.4, 0.1],
    discount=[0.9, 0.99],
    lost_cost=[10.0, 20.0],
    missed_cost=[1.0, 2.0],
    replay_share=0.5,
    replay_tracks=4,
    averaged_actors=2,
    privileged=PRIVILEGED,
)


def new_learner(units=0, config=None):
    """A learner of 4 features and 3 outputs."""
    return Learner.new((4, units, 3), 4, config or AlgorithmConfig(**LEARNING), 1)


def update(learner, rollout, noise=0.3, discount=1.0, share=0.0, device="cpu"):
    """One update as in `train_by_ppo`; returns the share that the critic explained."""
    learner.set_learning_rates(share)
    batch, explained = learner.judge([rollout], noise, discount)
    with learner.on(device):
        batch = batch.to(device)
        for _ in range(learner.config.epochs):
            for minibatch in learner.minibatches(batch):
                learner.improve(minibatch, noise)
    return explained


def test_advantages_are_discounted_sums_of_temporal_differences():
    rng = np.random.default_rng(1)
    reward, value = rng.normal(size=(2, 7, 3))
    end = np.zeros((7, 3), dtype=np.int8)
    end[2, 0], end[4, 1], end[-1] = TERMINATED, TRUNCATED, TRUNCATED
    found = advantages(reward, value, end, 0.9, 0.8)
    for env in range(3):
        for start in range(7):
            total, factor = 0.0, 1.0
            for step in range(start, 7):
                here = {TERMINATED: 0, TRUNCATED: value[step, env]}
                after = here[end[step, env]] if end[step, env] else value[step + 1, env]
                total += factor * (reward[step, env] + 0.9 * after - value[step, env])
                if end[step, env]:
                    break
                factor *= 0.9 * 0.8
            assert found[start, env] == pytest.approx(total)


def test_advantages_take_the_value_after_the_last_decision_where_it_is_known():
    reward, value = np.ones((2, 2)), np.array([[1.0, 2.0], [3.0, 4.0]])
    end = np.array([[0, 0], [TRUNCATED, TERMINATED]], dtype=np.int8)
    found = advantages(reward, value, end, 0.5, 1.0, value_after=np.array([10.0, 20.0]))
    last = np.array([1 + 0.5 * 10 - 3, 1 - 4])  # nothing follows the second
    np.testing.assert_allclose(found[1], last)
    np.testing.assert_allclose(found[0], 1 + 0.5 * value[1] - value[0] + 0.5 * last)


def total(features):
    """The sum [..., 3] of features [..., K], for each action."""
    return np.repeat(features.sum(axis=-1, keepdims=True), 3, axis=-1)


def sizes(features):
    """The sizes [..., 3] of the first features, which no linear map gives."""
    return np.abs(features[..., :3])


def rollout_of(learner, wanted, noise, rng):
    """Decisions of one step each, worth the more the nearer they are to `wanted` of features."""
    features = rng.normal(size=(256, 1, 4)).astype(np.float32)
    with torch.no_grad():
        raw = learner.actor(torch.from_numpy(features)).numpy()
    raw = (raw + noise * rng.standard_normal(raw.shape)).astype(np.float32)
    reward = -np.square(raw - wanted(features)).sum(axis=2)
    end = np.full((256, 1), TERMINATED, dtype=np.int8)
    counts = np.ones((256, 1), dtype=bool)
    return Rollout(features, raw, features, reward, end, counts, np.zeros(0))


@pytest.mark.slow
@each_device
def test_the_actor_learns_the_outputs_that_pay(device):
    rng = np.random.default_rng(1)
    wanted = rng.normal(size=(3, 4))
    learner = new_learner()
    for _ in range(60):
        update(learner, rollout_of(learner, lambda f: f @ wanted.T, 0.3, rng), device=device)
    assert np.abs(learner.actor.point()[:12].reshape(3, 4) - wanted).max() < 0.15
    assert np.abs(learner.actor.point()[12:]).max() < 0.15


@pytest.mark.parametrize("units", [0, 40])
def test_the_actor_unfolds_into_the_controller_that_acts(units):
    rng = np.random.default_rng(1)
    space = SearchSpace(units, rng.normal(size=(4, 6)), rng.normal(size=6))
    learner = new_learner(units)
    for _ in range(3):
        update(learner, rollout_of(learner, total, 0.3, rng))
    features = rng.normal(size=(20, 6))
    parameters = space.unfold(learner.actor.point()[None])
    said = outputs(parameters, np.zeros(20, dtype=np.int64), features, units)
    with torch.no_grad():
        expected = learner.actor(torch.from_numpy(space.scale(features)).float())
    np.testing.assert_allclose(said, expected, atol=1e-5)
    assert np.abs(said).max() > 0.01


@pytest.mark.slow
def test_a_hidden_layer_learns_what_no_linear_actor_can():
    rng = np.random.default_rng(1)
    away = {}
    for units in (0, 40):
        learner = new_learner(units)
        for _ in range(100):
            update(learner, rollout_of(learner, sizes, 0.3, rng))
        features = rng.normal(size=(256, 4)).astype(np.float32)
        with torch.no_grad():
            said = learner.actor(torch.from_numpy(features)).numpy()
        away[units] = np.abs(said - sizes(features)).mean()
    assert away[40] < 0.5 * away[0]


def test_the_critic_learns_the_rewards_to_come():
    rng = np.random.default_rng(1)
    learner = new_learner()
    rollout = rollout_of(learner, total, 0.3, rng)
    rollout = rollout._replace(reward=20.0 * rollout.critic_inputs[:, :, 0])
    explained = [update(learner, rollout) for _ in range(50)]
    assert explained[0] < 0.5 and explained[-1] > 0.95


def test_decisions_that_do_not_count_change_nothing():
    rng = np.random.default_rng(1)
    learners = [new_learner() for _ in range(2)]
    whole = rollout_of(learners[0], total, 0.3, rng)
    half = Rollout(*(part[:128] for part in whole[:6]), np.zeros(0))
    masked = whole._replace(counts=np.arange(256)[:, None] < 128)
    for learner, rollout in zip(learners, (half, masked)):
        update(learner, rollout)
    assert np.array_equal(learners[0].actor.point(), learners[1].actor.point())


def test_a_loss_that_is_not_finite_names_the_params_to_lower():
    rng = np.random.default_rng(1)
    learner = new_learner()
    rollout = rollout_of(learner, total, 0.3, rng)
    with pytest.raises(UserError, match=r"lower learning_rate or critic_learning_rate of ppo"):
        update(learner, rollout._replace(reward=rollout.reward * np.nan))


def test_clipping_stops_an_actor_that_is_far_from_the_last_one():
    learner = new_learner()
    rollout = rollout_of(learner, total, 0.3, np.random.default_rng(1))
    batch, _ = learner.judge([rollout], 0.3, 1.0)
    batch = batch.rows(batch.advantage > 0)
    learner.set_learning_rates(0.0)
    far = batch._replace(log_density=batch.log_density - 0.5)  # already taken 1.6 times as often
    learner.improve(far, 0.3)
    assert not learner.actor.point().any()
    learner.improve(batch, 0.3)
    assert learner.actor.point().any()


def test_the_learning_rate_falls_with_the_share_of_the_budget():
    falling = AlgorithmConfig(**{**LEARNING, "learning_rate": [0.01, 0.0001]})
    moved = []
    for share in (0.0, 1.0):
        learner = new_learner(config=falling)
        rollout = rollout_of(learner, total, 0.3, np.random.default_rng(1))
        update(learner, rollout, share=share)
        moved.append(np.abs(learner.actor.point()).max())
    assert 0 < moved[1] < moved[0] / 20


def test_the_discount_rises_with_the_share_of_the_budget():
    found = [CONFIG.rules_at(share, Limits(30, 10)).discount for share in (0, 0.5, 1)]
    assert found == pytest.approx([0.9, 1 - 0.1 / 10**0.5, 0.99])


class Validations(list):
    """Scores every point alike, and keeps it."""

    def __call__(self, point):
        self.append(point)
        return 1.0


def train(updates=4, env_steps=0, checkpoint=None, config=CONFIG, seen=None):
    space = raw_space(0, FEATURES)
    run = 1, "first", "cpu"
    setup = PracticeSetup(config, Limits(30, 10), make_agent(), space, FEATURES, None, *run)
    validate = Validations() if seen is None else seen
    budget = Budget(updates, env_steps)
    return train_by_ppo(setup, budget, validate, 2, checkpoint or Checkpoint(None))


def test_stopped_and_resumed_equals_uninterrupted(tmp_path, monkeypatch):
    seen = Validations()
    at_once = train(seen=seen)
    assert at_once.env_steps == 4 * 12 * 3 and len(at_once.rows) == 4
    assert [row["validation"] for row in at_once.rows] == [1.0, "", 1.0, ""]
    assert len(seen) == 2 and not seen[0].any() and seen[1].any()

    calls = []

    def stop_at_third(jobs):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return run_in_processes(jobs)

    monkeypatch.setattr(train_module, "run_in_processes", stop_at_third)
    monkeypatch.setattr("worldmodels.runtime.checkpoint.SECONDS_BETWEEN", 0)
    with pytest.raises(KeyboardInterrupt), Checkpoint(tmp_path) as checkpoint:
        train(checkpoint=checkpoint)
    with Checkpoint(tmp_path) as checkpoint:
        resumed = train(checkpoint=checkpoint)
    assert len(calls) == 5  # two updates before, two after
    assert np.array_equal(resumed.point(), at_once.point())
    assert resumed.rows == at_once.rows


@pytest.mark.slow
def test_same_result_for_any_worker_count(monkeypatch):
    config = CONFIG.model_copy(update={"envs": 34})  # two groups
    points = []
    for workers in "1", "2":
        monkeypatch.setenv("WM_WORKERS", workers)
        points.append(train(updates=2, config=config).point())
    assert np.array_equal(*points) and points[0].any()


def test_the_result_is_the_mean_of_the_last_actors():
    training = train(updates=5)
    assert len(training.actors) == 2 and (training.actors[0] != training.actors[1]).any()
    assert np.array_equal(training.actors[1], training.learner.actor.point())
    np.testing.assert_allclose(training.point(), (training.actors[0] + training.actors[1]) / 2)


def test_the_untrained_actor_is_not_part_of_the_mean():
    training = train(updates=1)
    assert np.array_equal(training.point(), training.learner.actor.point())
    assert training.point().any()


def test_another_number_of_updates_starts_from_scratch(tmp_path):
    with Checkpoint(tmp_path, keep=True) as checkpoint:
        train(updates=2, checkpoint=checkpoint)
    with Checkpoint(tmp_path, keep=True) as checkpoint:
        assert train(updates=3, checkpoint=checkpoint).rows == train(updates=3).rows


def test_training_stops_when_its_environment_steps_are_used_up():
    assert [row["env_steps"] for row in train(env_steps=50).rows] == [36, 72]


def test_noise_and_prices_go_from_their_first_to_their_second_value(monkeypatch):
    rules = []

    def listen(jobs):
        rules.extend(job.rules for job in jobs)
        return run_in_processes(jobs)

    monkeypatch.setattr(train_module, "run_in_processes", listen)
    rows = train(updates=2).rows
    assert [row["exploration_std"] for row in rows] == [rule.noise for rule in rules] == [0.4, 0.1]
    assert [rule.lost_cost for rule in rules] == pytest.approx([10, 20])
    assert [rule.missed_cost for rule in rules] == pytest.approx([1, 2])


def test_noise_reaches_its_second_value_within_the_environment_steps():
    assert [row["exploration_std"] for row in train(updates=100, env_steps=72).rows] == [0.4, 0.2]


def test_fewer_tracks_than_groups_are_refused():
    config = CONFIG.model_copy(update={"envs": 34, "tracks": 1})
    with pytest.raises(UserError, match=r"real\.ppo\.tracks is 1, but its cars drive in 2 groups"):
        train(config=config)


def test_a_segment_that_is_not_a_multiple_of_a_decision_is_refused():
    with pytest.raises(
        UserError, match=r"real\.ppo\.steps is 12, not a multiple of real\.ppo\.hold, 5"
    ):
        train(config=CONFIG.model_copy(update={"hold": 5}))
