"""C learns in dreams, by PPO and by an evolution strategy."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tests.devices import each_device
from tests.dream.lessons import (
    EVOLUTION,
    FEATURES,
    PPO,
    TRAINERS,
    by_evolution,
    by_ppo,
    lesson_of,
)
from worldmodels.control.search_space import raw_space
from worldmodels.dream.by_evolution import Cut, advantages, refuse_deep
from worldmodels.dream.by_ppo import DreamPPOConfig, roll_out
from worldmodels.dream.scaling import Scaling
from worldmodels.dream.schedule import Average
from worldmodels.pipeline.errors import UserError
from worldmodels.ppo.rollout import TRUNCATED


@each_device
@TRAINERS
def test_c_learns_in_a_dream_what_pays_in_the_world(toy, new_trainer, device):
    record, model = toy
    trainer = new_trainer()
    trainer.config = trainer.config.model_copy(
        update={"updates": 12, "averaged": [Average(lesson=0, lessons=1)]}
    )
    lessons = [lesson_of(record, model, seed, device=device) for seed in range(12)]
    rewards = [trainer.learn(lesson)["dreamt_reward"] for lesson in lessons]
    assert rewards[-1] > rewards[0] + 0.15  # points per step, of at most 4
    assert trainer.point()[-3:][1] > 0.2  # the gas


def test_a_dream_is_worth_more_where_the_record_says_so(toy):
    """What follows the last decision comes from the critic of the record, not from PPO's own."""
    lesson, method = lesson_of(*toy), by_ppo()
    dream, rng = lesson.dream(PPO.dreams, PPO.horizon, 1.0), np.random.default_rng(5)
    rollout = roll_out(dream, method.learner, method.critic, 0.5, PPO.hold, 0.9, 1.0, rng)
    assert rollout.value_after is not None
    batch, _ = method.learner.judge([rollout], 0.5, 0.9)
    richer = rollout._replace(value_after=rollout.value_after + np.arange(PPO.dreams))
    other, _ = method.learner.judge([richer], 0.5, 0.9)
    last = slice(-PPO.dreams, None)
    gained = (other.target - batch.target)[last].numpy() * PPO.value_scale
    np.testing.assert_allclose(gained, 0.9 * np.arange(PPO.dreams), atol=1e-3)


def test_the_last_moment_is_worth_what_both_critics_say_by_their_weights(toy):
    lesson, method = lesson_of(*toy), by_ppo()
    torch.nn.init.constant_(list(method.learner.critic.parameters())[-1], 0.7)
    dream = lesson.dream(PPO.dreams, PPO.horizon, 1.0)

    def value_after(weight):
        rng = np.random.default_rng(5)
        learner, critic = method.learner, method.critic
        return roll_out(dream, learner, critic, 0.5, PPO.hold, 0.9, weight, rng).value_after

    own, both, record = (value_after(weight) for weight in (0.0, 0.25, 1.0))
    assert np.abs(own - record).min() > 1
    np.testing.assert_allclose(both, 0.75 * own + 0.25 * record)
    features = np.concatenate([dream.seen[: PPO.dreams], dream.state.hidden[: PPO.dreams]], axis=1)
    hidden = dream.hidden[: PPO.dreams].numpy()
    np.testing.assert_allclose(
        record, method.critic.values(method.critic.inputs(features, hidden))
    )


def test_a_rollout_is_what_was_dreamt(toy):
    record, model = toy
    lesson, method = lesson_of(record, model), by_ppo()
    dream = lesson.dream(PPO.dreams, PPO.horizon, 1.0)
    rng = np.random.default_rng(5)
    rollout = roll_out(dream, method.learner, method.critic, 0.5, PPO.hold, 0.9, 1.0, rng)
    decisions = PPO.horizon // PPO.hold
    assert rollout.features.shape == (decisions, PPO.dreams, FEATURES)
    assert (rollout.end[-1] == TRUNCATED).all() and rollout.counts.all()
    # The first decision begins at the recorded moments
    starts = torch.cat([dream.moments.mu, dream.moments.memory], dim=1).numpy()
    scaled = Scaling.of(method.critic.space)(starts)
    expected = np.concatenate([scaled, dream.moments.hidden.numpy()], axis=1)
    np.testing.assert_allclose(rollout.critic_inputs[0], expected)
    # An actor of zeros: what it gave is the noise
    assert rollout.raw.std() == pytest.approx(0.5, rel=0.15)


def test_the_noise_of_the_dreams_follows_its_schedule(toy):
    trainer = by_ppo()
    last = [
        trainer.learn(lesson_of(*toy, number=number))["exploration_std"] for number in (0, 1, 2, 3)
    ]
    assert last == pytest.approx([0.3, 0.3, 0.03**0.5, 0.1])


def test_a_cost_of_an_output_keeps_it_small(toy):
    record, model = toy
    sizes = []
    for cost in (0.0, 30.0):
        trainer = by_ppo(PPO.model_copy(update={"output_cost": [cost, 0.0, 0.0]}))
        for seed in range(4):
            trainer.learn(lesson_of(record, model, seed))
        weights = trainer.point()[: 3 * FEATURES].reshape(3, FEATURES)
        sizes.append(np.abs(weights).mean(axis=1))
    assert sizes[1][0] < sizes[0][0] / 2  # the steering's
    assert (sizes[1][1:] > sizes[0][1:] / 2).all()


def test_all_candidates_dream_the_same_dreams(toy):
    trainer, lesson = by_evolution(), lesson_of(*toy)
    point = trainer.strategy.ask()[0]
    fitness, _ = trainer.fitness(np.stack([point, point, -point]), lesson, 1.0)
    assert fitness[0] == pytest.approx(fitness[1]) and fitness[0] != fitness[2]


def test_one_dream_makes_no_more_difference_than_the_cut():
    returns = np.array([[5.0, 1.0, 2.0], [4.0, 1.5, 2.0], [-900.0, 2.0, 2.0]])
    expected = [[1.0, -0.5, 0.0], [0.0, 0.0, 0.0], [-40.0, 0.5, 0.0]]
    assert advantages(returns, 40.0).tolist() == expected


def test_the_cut_is_that_of_the_lesson(toy):
    cuts = [Cut(lesson=0, points=1e9), Cut(lesson=2, points=0.01)]
    trainer = by_evolution(EVOLUTION.model_copy(update={"cut": cuts}))
    population = trainer.strategy.ask()
    spreads = [
        np.ptp(trainer.fitness(population, lesson_of(*toy, number=number), 1.0)[0])
        for number in (0, 1, 2)
    ]
    assert min(spreads[:2]) > 0.02 >= spreads[2]


def test_a_candidate_pays_for_large_outputs(toy):
    """Ten times an output that the action map saturates is the same action, and costs more."""
    lesson = lesson_of(*toy)
    point = np.zeros((2, by_evolution().space.dimensions))
    point[:, -2] = 50.0, 500.0
    found = []
    for cost in (0.0, 1e-4):
        trainer = by_evolution(EVOLUTION.model_copy(update={"output_cost": [0.0, cost, 0.0]}))
        found.append(trainer.fitness(point, lesson, 1.0)[0])
    assert found[0][0] == found[0][1] and found[1][0] > found[1][1] + 1


def test_an_evolution_strategy_in_the_dream_refuses_a_hidden_layer():
    with pytest.raises(UserError, match=r"controller\.inputs"):
        refuse_deep(raw_space(4, FEATURES))


def test_a_dream_that_ends_within_a_decision_is_refused():
    with pytest.raises(ValidationError, match=r"horizon is 7, not a multiple of hold, 2"):
        DreamPPOConfig(**PPO.model_dump() | {"horizon": 7})
