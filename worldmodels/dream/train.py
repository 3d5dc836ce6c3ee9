"""The loop in which C learns in the dream: record, let M learn, let C learn in M, many times over.

Many small iterations in place of a few large ones: the dream of an M that has not seen what C does
now is wrong where C now goes, and C would learn to exploit that. A separate M does the dreaming:
the M whose state C is given stays fixed, or C's features would change under it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from worldmodels.dream.honesty import honesty_columns
from worldmodels.dream.learning import ModelTrainer
from worldmodels.dream.lesson import DreamTrainer
from worldmodels.dream.model import save_dream_model
from worldmodels.dream.practice import DreamPractice
from worldmodels.dream.record import Record
from worldmodels.dream.recording import RecordingGroup, Segment
from worldmodels.records.scenes import Scenes
from worldmodels.runtime.checkpoint import Checkpoint
from worldmodels.runtime.progress import Progress
from worldmodels.training.budget import Budget
from worldmodels.training.curve import Row


@dataclass
class DreamState:
    """The state of the training: all that a checkpoint holds."""

    trainer: DreamTrainer
    model_trainer: ModelTrainer
    record: Record
    groups: list[RecordingGroup | None]
    env_steps: int = 0
    rows: list[Row] = field(default_factory=list)
    seconds: list[dict[str, float]] = field(default_factory=list)

    def is_within(self, budget: Budget) -> bool:
        """True if a training with `budget` would have passed through this state."""
        return budget.leads_through([int(row["env_steps"]) for row in self.rows])

    def add(self, segments: list[Segment]) -> None:
        """Add what was driven to the record."""
        first_slot = 0
        for segment in segments:
            self.record.add(segment, first_slot)
            first_slot += segment.rewards.shape[1]
            self.env_steps += segment.rewards.size

    def save_practice(self, folder: Path) -> None:
        """Write the M that dreamt, and the scenes that C drove, if any."""
        save_dream_model(folder / "dream.safetensors", self.model_trainer.model)
        if scenes := self.record.scenes():
            Scenes(scenes).save(folder / "scenes")


def train_in_dream(
    setup: DreamPractice,
    new_state: Callable[[], DreamState],
    budget: Budget,
    validate: Callable[[np.ndarray], float],
    checkpoint: Checkpoint,
) -> DreamState:
    """Record, let M learn, let C learn in M's dreams, until the budget is used up.

    `validate` scores a point on the real track every `validate_every` iterations of the config,
    for the curve alone: nothing is chosen by it.
    """
    # A longer training continues from a shorter one: nothing depends on what is still to come
    state = checkpoint.resume(lambda state: state.is_within(budget)) or new_state()
    record, model_trainer, trainer = state.record, state.model_trainer, state.trainer
    config, validate_every = setup.config.model, setup.config.validate_every
    with Progress(
        "train_controller", budget.iterations, "iterations", len(state.rows)
    ) as progress:
        while not budget.is_over(iteration := len(state.rows), state.env_steps):
            # Validate what would be kept if training ended here
            point = trainer.point()
            validation = validate(point) if iteration % validate_every == 0 else ""

            # Record: C drives the real track; before the first lesson it cannot
            recorded: Row = dict.fromkeys(("real_reward", "real_losses", "return_mean"), "")
            judged: Row = dict.fromkeys(honesty_columns(), "")
            if iteration:
                segments, state.groups = setup.record_segment(point, iteration, state.groups)
                state.add(segments)
                recorded = curve_columns(segments)
                judged = setup.judge(point, model_trainer, record, iteration)

            # M learns from what was recorded, a share of it just now
            losses = model_trainer.learn(record, config.steps if iteration else config.first_steps)

            # C learns in the dream
            learnt = trainer.learn(setup.lesson(model_trainer, record, iteration))

            # Record how it went
            so_far = {"iteration": iteration, "env_steps": state.env_steps}
            row: Row = so_far | recorded | learnt | losses | judged | {"validation": validation}
            state.rows.append(row)
            elapsed = round(checkpoint.seconds_before + progress.seconds(), 1)
            state.seconds.append({"iteration": iteration, "seconds": elapsed})
            progress.advance(1, report(row))
            if checkpoint.due():
                checkpoint.save(state)
    checkpoint.save(state)
    return state


def curve_columns(segments: list[Segment]) -> Row:
    """The columns of the curve on recorded segments: points per step, losses per 1,000 steps, and
    the mean return of the episodes that ended, if any."""
    steps = sum(segment.rewards.size for segment in segments)
    rewards = sum(float(segment.rewards.sum()) for segment in segments)
    ends = [end for segment in segments for end in segment.ends]
    return {
        "real_reward": rewards / steps,
        "real_losses": 1000 * sum(end.lost for end in ends) / steps,
        "return_mean": float(np.mean([end.score for end in ends])) if ends else "",
    }


def report(row: Row) -> str:
    """A row, for the progress bar."""
    real = f"real {row['real_reward']:.2f}, " if row["real_reward"] != "" else ""
    text = f"points per step: {real}dreamt, less costs, {row['dreamt_reward']:.2f}"
    if row["validation"] != "":
        text += f", validation {row['validation']:.0f}"
    return f"{text}, {row['env_steps']} steps"
