"""The loop in which C learns in the dream resumes to the byte, and counts every real step."""

import copy

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tests.agents import make_agent
from tests.dream.lessons import FEATURES, RULES_CONFIG, STARTS, TRAINERS, by_ppo
from tests.dream.test_model import CONFIG
from tests.dream.toys import (
    HASTE,
    LATENTS,
    MEMORY,
    TAKEOVERS,
    make_record,
)
from worldmodels.control.search_space import raw_space
from worldmodels.dream.honesty import honesty_columns
from worldmodels.dream.learning import ModelTrainer, new_model
from worldmodels.dream.model import load_dream_model
from worldmodels.dream.practice import DreamPractice, PracticeConfig, RecordingConfig
from worldmodels.dream.record import Record
from worldmodels.dream.train import DreamState, train_in_dream
from worldmodels.records.scenes import Scenes
from worldmodels.runtime.checkpoint import Checkpoint
from worldmodels.training.budget import Budget


def config_of(**changes):
    values = {
        "validate_every": 2,
        "model": CONFIG.model_copy(update={"first_steps": 640, "steps": 320}),
        "record": RecordingConfig(
            horizon=50,
            patience=8,
            envs=2,
            steps=24,
            tracks=4,
            undisturbed=0.25,
            hold=2,
            noise=0.3,
            haste=[HASTE],
            takeovers=TAKEOVERS,
        ),
        "starts": STARTS,
        "rules": RULES_CONFIG,
    }
    return PracticeConfig(**values | changes)


def train(checkpoint, iterations=3, config=None, new_trainer=by_ppo):
    """A training by the loop, from a small agent and the toys' record."""
    config = config or config_of()
    agent = make_agent(1, latent_size=LATENTS, hidden_size=MEMORY)
    space = raw_space(0, FEATURES)
    setup = DreamPractice(config, agent, space, 1, "toy", "cpu", 1)

    def new_state():
        record = make_record()
        record = Record(record.drives[:2], explored=2)
        torch.manual_seed(1)
        model = new_model(record, config.model, 0.1)
        trainer = ModelTrainer(model, config.model, np.random.default_rng(1), "cpu")
        return DreamState(new_trainer(), trainer, record, [None])

    validated = []

    def validate(point):
        validated.append(point)
        return 1.0

    state = train_in_dream(setup, new_state, Budget(iterations, 0), validate, checkpoint)
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


@TRAINERS
def test_the_loop_records_between_lessons_and_counts_every_real_step(new_trainer, tmp_path):
    state, validated = train(Checkpoint(None), new_trainer=new_trainer)
    assert state.env_steps == 2 * 24 * 2  # none before the first lesson
    assert sum(drive.scene is not None for drive in state.record.drives) >= 2
    assert [row["validation"] for row in state.rows] == [1.0, "", 1.0]
    assert (validated[0] == 0).all() and not np.array_equal(*validated)
    assert state.rows[0]["real_reward"] == "" and state.rows[1]["real_losses"] >= 0
    assert set(honesty_columns()) < set(state.rows[0])
    assert list(state.rows[0]) == list(state.rows[2])
    state.save_practice(tmp_path)
    kept = load_dream_model(tmp_path / "dream.safetensors").state_dict()
    for name, tensor in state.model_trainer.model.state_dict().items():
        torch.testing.assert_close(kept[name], tensor)
    assert len(Scenes.load(tmp_path / "scenes")) == 2 * 24 * 2


@TRAINERS
def test_a_stopped_training_ends_with_the_same_bytes(new_trainer):
    whole, _ = train(Checkpoint(None), new_trainer=new_trainer)
    stopping = StoppingCheckpoint()
    with pytest.raises(Stop):
        train(stopping, new_trainer=new_trainer)
    resumed, _ = train(ResumingCheckpoint(copy.deepcopy(stopping.kept)), new_trainer=new_trainer)
    assert resumed.rows == whole.rows
    np.testing.assert_array_equal(resumed.trainer.point(), whole.trainer.point())


def test_a_longer_training_goes_on_from_a_shorter_one_and_a_shorter_one_does_not():
    whole, _ = train(Checkpoint(None))
    short, _ = train(Checkpoint(None), iterations=2)
    longer, _ = train(ResumingCheckpoint(short))
    assert longer.rows == whole.rows
    again, _ = train(ResumingCheckpoint(longer), iterations=1)
    assert again.rows == whole.rows[:1]


def test_params_of_the_record_that_do_not_fit_together_are_refused():
    model = CONFIG.model_copy(update={"lost_delay": 9})
    with pytest.raises(ValidationError, match=r"lost_delay is 9, .* record.patience, 8"):
        config_of(model=model)
    record = config_of().record.model_dump()
    with pytest.raises(ValidationError, match=r"tracks is 1, but the cars drive in 2 groups"):
        RecordingConfig(**record | {"envs": 34, "tracks": 1})
