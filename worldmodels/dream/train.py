"""The loop in which C learns in the dream: record, let M learn, let C learn in M, many times over.

Small iterations in place of few large ones: the dream of an M that has not seen what C does now is
wrong where C now goes, and C finds that out first. A model of its own dreams; the M that C listens
to stays as it is, or C's features would change under it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from worldmodels.agent.agent import Agent
from worldmodels.control.controller import act
from worldmodels.control.search_space import SearchSpace
from worldmodels.dream.disturbances import HasteConfig, TakeoverConfig
from worldmodels.dream.honesty import honesty, names
from worldmodels.dream.learning import DreamTrainingConfig, ModelTrainer
from worldmodels.dream.lesson import DreamTrainer, Lesson, RulesConfig
from worldmodels.dream.model import save_dream_model
from worldmodels.dream.moments import errors_of, follow
from worldmodels.dream.record import Record
from worldmodels.dream.recording import RecordingGroup, RecordSegmentJob, Segment
from worldmodels.dream.schedule import Schedule, latest
from worldmodels.dream.starts import Starts, StartsConfig
from worldmodels.dream.step import DreamStep
from worldmodels.driving.limits import Limits
from worldmodels.pipeline.params import Count, NonNegative, Section, Share
from worldmodels.records.scenes import Scenes
from worldmodels.runtime.checkpoint import Checkpoint
from worldmodels.runtime.progress import Progress
from worldmodels.runtime.seeds import generator, tracks_for_training
from worldmodels.training.budget import Budget
from worldmodels.training.curve import Row
from worldmodels.training.schedule import group_sizes
from worldmodels.workers.run import run_jobs

MOMENTS = 2048  # at which the dream is compared with what came
ERRORS = 8192  # of M on the record, that C's sight is blurred with


class RecordingConfig(Section):
    """The section `dream.practice.record`: what is driven between two lessons.

    `haste` is a schedule, see `latest`.
    """

    horizon: Count
    patience: Count
    envs: Count
    steps: Count
    tracks: Count
    undisturbed: Share
    hold: Count
    noise: NonNegative
    haste: Schedule[HasteConfig]
    takeovers: TakeoverConfig

    def limits(self) -> Limits:
        """The limits of a recorded episode, and of one that is validated."""
        return Limits(self.horizon, self.patience)


class PracticeConfig(Section):
    """The section `dream.practice` of params.yaml: all that both trainers have in common."""

    validate_every: Count
    record: RecordingConfig
    model: DreamTrainingConfig
    starts: StartsConfig
    rules: RulesConfig


class DreamSetup(NamedTuple):
    """All that stays the same while C is trained.

    `space` is the one whose points the trainer trains; `seed` and `name`, of the round, determine
    every random draw.
    """

    config: PracticeConfig
    agent: Agent
    space: SearchSpace
    seed: int
    name: str
    device: str
    threads: int

    def record_segment(
        self, point: np.ndarray, iteration: int, groups: list[RecordingGroup | None]
    ) -> tuple[list[Segment], list[RecordingGroup | None]]:
        """Let C at `point` [D] drive a segment in all groups; returns the segments, and the groups
        for the next one."""
        config, sizes = self.config.record, group_sizes(self.config.record.envs)
        agent = self.agent.with_candidates(self.space.unfold(point[None]))
        tracks = tracks_for_training(config.tracks, self.seed, ("dream", self.name))
        jobs = [
            RecordSegmentJob(
                agent=agent,
                envs=envs,
                steps=config.steps,
                undisturbed=config.undisturbed,
                hold=config.hold,
                noise=config.noise,
                limits=config.limits(),
                rng=generator(self.seed, "dream", self.name, iteration, number),
                tracks=tracks[number :: len(sizes)],
                haste=latest(config.haste, iteration),
                takeovers=config.takeovers,
                group=group,
                device=self.device,
                title=f"group {number}, {envs} environments, of iteration {iteration}",
            )
            for number, (envs, group) in enumerate(zip(sizes, groups))
        ]
        results = run_jobs(jobs)
        return [segment for segment, _ in results], [group for _, group in results]

    def judge(
        self, point: np.ndarray, trainer: ModelTrainer, record: Record, iteration: int
    ) -> Row:
        """How honest M's dream is of the newest segment, which it has not learnt from, and in
        which C was at `point` [D]."""
        config = self.config.record
        frames = config.envs * config.steps
        chosen = [index for index in record.newest(frames) if len(record.drives[index]) > 1]
        if not chosen:
            return dict.fromkeys(names(), "")
        drives = [record.drives[index] for index in chosen]
        agent = self.agent.with_candidates(self.space.unfold(point[None]))

        def c(features: np.ndarray) -> np.ndarray:
            candidates = np.zeros(len(features), dtype=np.int64)
            given = features[:, : agent.config.features].astype(np.float64)
            return act(agent.parameters, candidates, given, agent.hidden_units)

        return dict(
            honesty(
                along=follow(drives, self.agent.memory, DreamStep(trainer.model)),
                new_from=np.array([record.newest_from(index, frames) for index in chosen]),
                model=trainer.model,
                memory=self.agent.memory,
                act=c,
                delay=self.config.model.lost_delay,
                rng=generator(self.seed, "dream", "honesty", self.name, iteration),
                count=MOMENTS,
            )
        )

    def lesson(self, trainer: ModelTrainer, record: Record, iteration: int) -> Lesson:
        """The lesson of an iteration, from the newest drives and some of the explorer's."""
        starts, delay = self.config.starts, self.config.model.lost_delay
        rng = generator(self.seed, "dream", "lesson", self.name, iteration)
        chosen = rng.permutation(record.explored)[: starts.explored_drives].tolist()
        chosen += record.newest(starts.newest_frames)
        dreams = DreamStep(trainer.model)
        along = follow(record.chosen(chosen), self.agent.memory, dreams)
        return Lesson(
            model=trainer.model,
            memory=self.agent.memory,
            along=along,
            errors=errors_of(along, dreams, rng, ERRORS),
            config=self.config.rules,
            starts=Starts.of(along, starts, iteration, delay),
            number=iteration,
            lost_delay=delay,
            rng=rng,
            threads=self.threads,
            device=self.device,
        )


@dataclass
class DreamState:
    """The state of the training: all that a checkpoint holds."""

    controller: DreamTrainer
    model: ModelTrainer
    record: Record
    groups: list[RecordingGroup | None]
    env_steps: int = 0
    rows: list[Row] = field(default_factory=list)
    seconds: list[dict[str, float]] = field(default_factory=list)

    def add(self, segments: list[Segment]) -> None:
        """Add what was driven to the record."""
        first_slot = 0
        for segment in segments:
            self.record.add(segment, first_slot)
            first_slot += segment.rewards.shape[1]
            self.env_steps += segment.rewards.size

    def save_practice(self, folder: Path) -> None:
        """Write the M that dreamt, and the scenes that C drove, if any."""
        save_dream_model(folder / "dream.safetensors", self.model.model)
        if scenes := self.record.scenes():
            Scenes(scenes).save(folder / "scenes")


def train_in_dream(
    setup: DreamSetup,
    new_state: Callable[[], DreamState],
    budget: Budget,
    validate: Callable[[np.ndarray], float],
    checkpoint: Checkpoint,
) -> DreamState:
    """Record, let M learn, let C learn in M's dreams, until the budget is used up.

    `validate` scores a point on the real track every `validate_every` iterations of the config,
    for the curve alone: nothing is chosen by it.
    """
    # A longer training goes on from a shorter one: nothing depends on what is still to come
    state = checkpoint.resume(lambda state: fits(state, budget)) or new_state()
    record, model, controller = state.record, state.model, state.controller
    config, validate_every = setup.config.model, setup.config.validate_every
    with Progress(
        "train_controller", budget.iterations, "iterations", len(state.rows)
    ) as progress:
        while not budget.is_over(iteration := len(state.rows), state.env_steps):
            # Validate what would be kept if training ended here
            point = controller.point()
            validation = validate(point) if iteration % validate_every == 0 else ""

            # Record: C drives the real track; before the first lesson it cannot
            recorded: Row = dict.fromkeys(("real_reward", "real_losses", "return_mean"), "")
            judged: Row = dict.fromkeys(names(), "")
            if iteration:
                segments, state.groups = setup.record_segment(point, iteration, state.groups)
                state.add(segments)
                recorded = curve_columns(segments)
                judged = setup.judge(point, model, record, iteration)

            # M learns from what was recorded, a share of it just now
            losses = model.learn(record, config.steps if iteration else config.first_steps)

            # C learns in the dream
            learnt = controller.learn(setup.lesson(model, record, iteration))

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


def fits(state: DreamState, budget: Budget) -> bool:
    """True if a training with `budget` would have passed through `state`."""
    return not any(
        budget.is_over(done + 1, int(row["env_steps"])) for done, row in enumerate(state.rows[:-1])
    )


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
    text = f"points per step: {real}dreamt {row['dreamt_reward']:.2f}"
    if row["validation"] != "":
        text += f", validation {row['validation']:.0f}"
    return f"{text}, {row['env_steps']} steps"
