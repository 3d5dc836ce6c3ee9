"""C learns in the dream: by PPO in a toy's dream, and in the loop, which resumes to the byte."""

import copy

import numpy as np
import pytest
import torch

from tests.agents import make_agent
from tests.dream.test_model import CONFIG, rotating_world
from tests.dream.toys import LATENTS, MEMORY, RULES, make_drive, make_memory, make_record
from worldmodels.control.search_space import raw_space
from worldmodels.dream.by_ppo import DreamPPO, DreamPPOConfig, Scaling, roll_out
from worldmodels.dream.environment import DreamStep
from worldmodels.dream.learning import DreamTrainer, new_model
from worldmodels.dream.lesson import Lesson
from worldmodels.dream.moments import Weights, follow
from worldmodels.dream.record import Record
from worldmodels.dream.train import (
    DreamConfig,
    DreamSetup,
    DreamState,
    RecordingConfig,
    StartsConfig,
    train_in_dream,
)
from worldmodels.driving.limits import Limits
from worldmodels.ppo.algorithm import TRUNCATED, Learner
from worldmodels.runtime.checkpoint import Checkpoint
from worldmodels.training.budget import Budget

FEATURES = LATENTS + MEMORY
PPO = DreamPPOConfig(
    gae_lambda=0.9,
    clip=0.2,
    epochs=4,
    batch_size=64,
    learning_rate=[0.02, 0.02],
    critic_learning_rate=[0.01, 0.01],
    critic_units=8,
    value_scale=10.0,
    dreams=24,
    updates=4,
    hold=2,
    noise=[0.5, 0.2],
    averaged_actors=2,
    recorded_share=0.5,
)
WEIGHTS = Weights(explored=0.5, near_loss=0.0, reach=8, margin=2)


def new_method():
    space, told = raw_space(0, FEATURES), FEATURES + CONFIG.hidden_size
    return DreamPPO(PPO, space, Learner.new((FEATURES, 0, 3), told, PPO, 1))


def lesson_of(record, model, seed=1):
    memory = make_memory()
    return Lesson(
        model=model,
        memory=memory,
        along=follow(record.drives, memory, DreamStep(model)),
        rules=RULES,
        weights=WEIGHTS,
        share=0.0,
        discount=0.9,
        lost_delay=4,
        rng=np.random.default_rng(seed),
        threads=1,
    )


@pytest.fixture(scope="module")
def toy():
    """A record of a world in which gas pays, and an M that has learnt it."""
    record = Record([*rotating_world(12, False), make_drive(30, lost=True)], explored=13)
    torch.manual_seed(1)
    model = new_model(record, CONFIG, std_floor=0.1)
    trainer = DreamTrainer(model, CONFIG, np.random.default_rng(1))
    for rate in (0.01, 0.003):
        trainer.learn(record, 16 * 20 * 150, rate)
    return record, model


def test_ppo_learns_in_a_dream_what_pays_in_the_world(toy):
    record, model = toy
    method = new_method()
    rewards = [method.learn(lesson_of(record, model, seed))["dreamt_reward"] for seed in range(12)]
    assert rewards[-1] > rewards[0] + 0.5  # points per step, of at most 4
    shift = method.point()[-3:]
    assert shift[1] > 0.3  # the gas


def test_a_rollout_is_what_was_dreamt(toy):
    record, model = toy
    lesson, method = lesson_of(record, model), new_method()
    dream = lesson.dream(PPO.dreams)
    rng = np.random.default_rng(5)
    rollout = roll_out(dream, method.learner, method.space, 0.5, PPO.hold, 0.9, rng)
    decisions = RULES.horizon // PPO.hold
    assert rollout.features.shape == (decisions, PPO.dreams, FEATURES)
    assert (rollout.end[-1] == TRUNCATED).all() and rollout.counts.all()
    # The first decision begins at the recorded moments
    starts = torch.cat([dream.moments.mu, dream.moments.memory], dim=1).numpy()
    scaled = Scaling.of(method.space)(starts)
    expected = np.concatenate([scaled, dream.moments.hidden.numpy()], axis=1)
    np.testing.assert_allclose(rollout.critic_inputs[0], expected)
    # An actor of zeros: what it gave is the noise
    assert rollout.raw.std() == pytest.approx(0.5, rel=0.15)


def config_of(**changes):
    values = {
        "model": CONFIG.model_copy(update={"first_steps": 640, "steps": 320}),
        "record": RecordingConfig(
            envs=2, steps=24, hold=2, noise_floor=0.05, patience=8, tracks=4
        ),
        "starts": StartsConfig(
            explored=0.5, near_loss=0.2, reach=8, margin=2, newest_frames=60, explored_drives=3
        ),
        "temperature": 1.0,
        "sampled": False,
        "horizon": 4,
        "lost_at": 0.9,
        "lost_cost": [5.0, 50.0],
        "lost_cost_until": 0.5,
        "discount": [0.9, 0.99],
    }
    return DreamConfig(**values | changes)


def train(checkpoint, iterations=3, config=None):
    """A training by the loop, from a small agent and the toys' record."""
    config = config or config_of()
    agent = make_agent(1, latent_size=LATENTS, hidden_size=MEMORY)
    space = raw_space(0, FEATURES)
    setup = DreamSetup(config, Limits(50, 20), agent, space, 1, "toy", "cpu", 1)

    def new_state():
        record = make_record()
        record = Record(record.drives[:2], explored=2)
        torch.manual_seed(1)
        model = new_model(record, config.model, 0.1)
        trainer = DreamTrainer(model, config.model, np.random.default_rng(1))
        groups = [None] * len(setup.group_sizes())
        return DreamState(new_method(), trainer, record, Budget(iterations, 0), groups)

    validated = []

    def validate(point):
        validated.append(point)
        return 1.0

    state = train_in_dream(setup, new_state, Budget(iterations, 0), validate, 2, checkpoint)
    return state, validated


class Stop(Exception):
    """Ends a training at the save of a checkpoint."""


class StoppingCheckpoint(Checkpoint):
    """Keeps the first state that is saved, and stops there."""

    def __init__(self):
        super().__init__(None)
        self.kept = None

    def due(self):
        return True

    def save(self, state):
        self.kept = copy.deepcopy(state)
        raise Stop


class ResumingCheckpoint(Checkpoint):
    """Resumes from a state."""

    def __init__(self, state):
        super().__init__(None)
        self.state = state

    def resume(self, usable=lambda _: True):
        return self.state if usable(self.state) else None


def test_the_loop_records_between_lessons_and_counts_every_real_step():
    state, validated = train(Checkpoint(None))
    assert state.env_steps == 2 * 24 * 2  # none before the first lesson
    assert sum(drive.scene is not None for drive in state.record.drives) >= 2
    assert [row["validation"] for row in state.rows] == [1.0, "", 1.0]
    assert (validated[0] == 0).all() and not np.array_equal(*validated)
    assert state.rows[0]["real_reward"] == "" and state.rows[1]["real_losses"] >= 0
    assert [row["lost_cost"] for row in state.rows] == pytest.approx([5.0, 50.0, 50.0])


def test_a_stopped_training_ends_with_the_same_bytes():
    whole, _ = train(Checkpoint(None))
    stopping = StoppingCheckpoint()
    with pytest.raises(Stop):
        train(stopping)
    resumed, _ = train(ResumingCheckpoint(stopping.kept))
    assert resumed.rows == whole.rows
    np.testing.assert_array_equal(resumed.method.point(), whole.method.point())
    other = copy.deepcopy(stopping.kept)
    other.budget = Budget(9, 0)
    scratch, _ = train(ResumingCheckpoint(other))  # by another budget: from scratch
    assert len(scratch.rows) == 3 and scratch.rows == whole.rows
