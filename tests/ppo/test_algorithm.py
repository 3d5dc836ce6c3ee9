"""PPO: advantages, and what the actor and the critic learn."""

import numpy as np
import pytest
import torch

from tests.agents import LEARNING
from tests.devices import each_device
from worldmodels.control.controller import outputs
from worldmodels.control.search_space import SearchSpace
from worldmodels.pipeline.errors import UserError
from worldmodels.ppo.algorithm import AlgorithmConfig, Learner
from worldmodels.ppo.rollout import TERMINATED, TRUNCATED, Rollout, advantages


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
    """Decisions of one step each, paid more the nearer they are to `wanted(features)`."""
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
