"""From params.yaml to a training of C in the dream, whichever trainer it is by."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from worldmodels.control.search_space import SearchSpace
from worldmodels.dream.learning import ModelTrainer, new_model
from worldmodels.dream.lesson import DreamTrainer
from worldmodels.dream.practice import DreamPractice, PracticeConfig
from worldmodels.dream.record import Record
from worldmodels.dream.train import DreamState, train_in_dream
from worldmodels.driving.limits import Limits
from worldmodels.pipeline.params import Part
from worldmodels.records.scenes import Scenes
from worldmodels.runtime.checkpoint import Checkpoint
from worldmodels.runtime.seeds import generator, torch_generator
from worldmodels.training.outcome import Outcome
from worldmodels.training.schedule import group_sizes
from worldmodels.training.setup import TrainingParams, TrainingSetup


class DreamSection(Part):
    """The section `dream` of params.yaml; subclasses add their trainer's."""

    practice: PracticeConfig


class DreamParams(TrainingParams):
    """The params of a stage that trains C in the dream."""

    dream: DreamSection

    def limits(self) -> Limits:
        return self.dream.practice.record.limits()


def learn_in_dream(
    name: str,
    setup: TrainingSetup,
    space: SearchSpace,
    new_trainer: Callable[[], DreamTrainer],
    checkpoint: Checkpoint,
) -> Outcome:
    """Train C, a point of `space`, for the round `name`; `new_trainer` makes what trains it.

    Raises UserError for a record from which M cannot learn to dream.
    """
    params = setup.params
    assert isinstance(params, DreamParams)
    practice, seed = params.dream.practice, params.training_seed()
    candidates, device = setup.candidates(space), params.machine.device

    def validate(point: np.ndarray) -> float:
        return float(candidates.validate(point, params.controller.validation_tracks).mean())

    def new_state() -> DreamState:
        scenes = Scenes.load(Path("data") / params.round.world / "scenes")
        record = Record.of_explorer(setup.latents, scenes.poses, practice.record.patience)
        torch.manual_seed(torch_generator(seed, "dream", "model", name).initial_seed())
        model = new_model(record, practice.model, params.controller.std_floor)
        rng = generator(seed, "dream", "windows", name)
        return DreamState(
            trainer=new_trainer(),
            model_trainer=ModelTrainer(model, practice.model, rng, device),
            record=record,
            groups=[None] * len(group_sizes(practice.record.envs)),
        )

    run = seed, name, device, params.machine.threads
    dream = DreamPractice(practice, setup.agent, space, *run)
    state = train_in_dream(dream, new_state, params.budget(), validate, checkpoint)
    return Outcome(
        space=space,
        point=state.trainer.point(),
        env_steps=state.env_steps,
        rows=state.rows,
        seconds=state.seconds,
        save_practice=state.save_practice,
    )
