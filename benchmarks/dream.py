"""Speed of the dream: steps of both Ms by constant actions, and of learning by PPO in it."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.timing import rates
from stages import train_controller_by_ppo_in_dream as stage
from worldmodels.dream.by_ppo import DreamPPO
from worldmodels.dream.lesson import Lesson
from worldmodels.dream.model import load_dream_model
from worldmodels.dream.moments import errors_of, follow
from worldmodels.dream.record import Record
from worldmodels.dream.record_critic import RecordCritic
from worldmodels.dream.starts import Starts
from worldmodels.dream.step import DreamStep
from worldmodels.environment.interface import ACTION_SIZE
from worldmodels.pipeline.params import load
from worldmodels.ppo.algorithm import Learner
from worldmodels.records.scenes import Scenes
from worldmodels.runtime.cores import one_thread
from worldmodels.training.setup import TrainingSetup

DRIVES = 100  # of the explorer, in whose moments the dreams begin


def speeds(round_name: str, rounds: int, threads: int) -> dict[str, Any]:
    """Dream steps per second on `threads` cores: `acting` alone, and `learning`, PPO's update
    included; and the multiply-adds of a step, in MFLOP, of the M that dreams and of C's."""
    params = load(stage.Params, round_name)
    setup, config = TrainingSetup.load(params), params.dream.ppo
    model = load_dream_model(Path("data") / round_name / "practice" / "dream.safetensors")
    space = setup.make_space(setup.memory.config.hidden_size, "mdnrnn.hidden_size")
    inputs = setup.actor_inputs(config.hidden_components, "dream.ppo.hidden_components")
    practice = params.dream.practice
    critic = RecordCritic.new(space, model.config.hidden_size, config.record_critic, 1)
    learner = Learner.new((inputs, 0, ACTION_SIZE), critic.input_size, config, 1)
    scenes = Scenes.load(Path("data") / params.round.world / "scenes")
    record = Record.of_explorer(setup.latents, scenes.poses, practice.record.patience)
    drives = record.drives[:DRIVES]
    along = follow(drives, setup.agent.memory, DreamStep(model))
    rng = np.random.default_rng(1)
    lesson = Lesson(
        model=model,
        memory=setup.agent.memory,
        along=along,
        errors=errors_of(along, DreamStep(model), rng, 1000),
        config=practice.rules,
        starts=Starts.of(along, practice.starts, 1, practice.model.lost_delay),
        number=1,
        lost_delay=practice.model.lost_delay,
        rng=rng,
        threads=threads,
        device="cpu",
    )
    trainer = DreamPPO(config.model_copy(update={"updates": 2}), learner, critic)
    steps = config.dreams * config.horizon

    @one_thread()  # as in training
    def act() -> float:
        dream = lesson.dream(config.dreams, config.horizon, 1.0)
        dream.reset(seed=1)
        actions = np.zeros((config.dreams, ACTION_SIZE), np.float32)
        for _ in range(config.horizon):
            dream.step(actions)
        dream.close()
        return steps

    def learn() -> float:
        trainer.learn(lesson)
        return 2 * steps

    torch.set_num_threads(threads)
    found: dict[str, Any] = rates({"acting": act, "learning": learn}, rounds)
    torch.set_num_threads(1)
    dreams, listens = DreamStep(model), setup.agent.memory
    weights = dreams.gates.numel() + dreams.heads.numel(), listens.gates.numel()
    found["megaflop_per_step"] = {
        "the M that dreams": 2 * weights[0] / 1e6,
        "the M that C listens to": 2 * weights[1] / 1e6,
    }
    return found
