"""The loop in which C learns in the dream: record, let M learn, let C learn in M, many times over.

Small iterations in place of few large ones: the dream of an M that has not seen what C does now is
wrong where C now goes, and C finds that out first. A model of its own dreams; the M that C listens
to stays as it is, or C's features would change under it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field

from worldmodels.agent.agent import Agent
from worldmodels.control.search_space import SearchSpace
from worldmodels.dream.environment import DreamStep, Rules
from worldmodels.dream.learning import DreamTrainer, DreamTrainingConfig
from worldmodels.dream.lesson import DreamMethod, Lesson
from worldmodels.dream.moments import Weights, follow
from worldmodels.dream.record import Record
from worldmodels.dream.recording import RecordingGroup, RecordSegmentJob, Segment
from worldmodels.driving.limits import Limits
from worldmodels.pipeline.params import Count, Natural, Positive, Section, Share
from worldmodels.runtime.batch import FIXED_BATCH
from worldmodels.runtime.checkpoint import Checkpoint
from worldmodels.runtime.parallel import run_jobs
from worldmodels.runtime.progress import Progress
from worldmodels.runtime.seeds import generator, tracks_for_training
from worldmodels.training.budget import Budget
from worldmodels.training.curve import Row

FromTo = Annotated[list[Positive], Field(min_length=2, max_length=2)]
Shares = Annotated[list[Share], Field(min_length=2, max_length=2)]


class RecordingConfig(Section):
    """The section `dream.record` of params.yaml: what C drives between two lessons."""

    envs: Count
    steps: Count
    hold: Count
    noise_floor: Positive
    patience: Count
    tracks: Count


class StartsConfig(Section):
    """The section `dream.starts`: the moments that dreams begin with; see `moments.Weights`."""

    explored: Share
    near_loss: Share
    reach: Count
    margin: Natural
    newest_frames: Count
    explored_drives: Count

    def weights(self) -> Weights:
        """The part that draws moments."""
        return Weights(self.explored, self.near_loss, self.reach, self.margin)


class DreamConfig(Section):
    """The section `dream` of params.yaml, without the methods' own."""

    model: DreamTrainingConfig
    record: RecordingConfig
    starts: StartsConfig
    temperature: Positive
    sampled: bool
    horizon: Count
    lost_at: Share
    lost_cost: FromTo
    lost_cost_until: Share
    discount: Shares

    def rules_at(self, share: float) -> Rules:
        """The rules of the dream at `share` of the training."""
        risen = min(share / self.lost_cost_until, 1.0) if self.lost_cost_until else 1.0
        return Rules(
            temperature=self.temperature,
            sampled=self.sampled,
            horizon=self.horizon,
            lost_cost=geometric(self.lost_cost, risen),
            lost_at=self.lost_at,
        )

    def discount_at(self, share: float) -> float:
        """The discount per step at `share` of the training."""
        return 1 - geometric([1 - discount for discount in self.discount], share)


def geometric(ends: list[float], share: float) -> float:
    """The value at `share`, 0 to 1, of the way from `ends[0]` to `ends[1]`, geometrically."""
    return float(ends[0] ** (1 - share) * ends[1] ** share)


class DreamSetup(NamedTuple):
    """All that stays the same while C is trained.

    `space` is the one whose points `method` trains; `seed` and `name`, of the round, determine
    every random draw.
    """

    config: DreamConfig
    limits: Limits
    agent: Agent
    space: SearchSpace
    seed: int
    name: str
    device: str
    threads: int

    def group_sizes(self) -> list[int]:
        """The number of environments of each recording group: one job each."""
        envs = np.arange(self.config.record.envs)
        return [len(part) for part in np.array_split(envs, -(-len(envs) // FIXED_BATCH))]

    def record_segment(
        self,
        point: np.ndarray,
        noise: float,
        iteration: int,
        groups: list[RecordingGroup | None],
    ) -> tuple[list[Segment], list[RecordingGroup | None]]:
        """Let C at `point` [D] drive a segment in all groups; returns the segments, and the groups
        for the next one."""
        config, sizes = self.config.record, self.group_sizes()
        agent = self.agent.with_candidates(self.space.unfold(point[None]))
        tracks = tracks_for_training(config.tracks, self.seed, ("dream", self.name))
        jobs = [
            RecordSegmentJob(
                agent=agent,
                envs=envs,
                steps=config.steps,
                hold=config.hold,
                noise=max(noise, config.noise_floor),
                limits=Limits(self.limits.horizon, config.patience),
                rng=generator(self.seed, "dream", self.name, iteration, number),
                tracks=tracks[number :: len(sizes)],
                group=group,
                device=self.device,
                title=f"group {number}, {envs} environments, of iteration {iteration}",
            )
            for number, (envs, group) in enumerate(zip(sizes, groups))
        ]
        results = run_jobs(jobs)
        return [segment for segment, _ in results], [group for _, group in results]


@dataclass
class DreamState:
    """The state of the training: all that a checkpoint holds."""

    method: DreamMethod
    trainer: DreamTrainer
    record: Record
    budget: Budget
    groups: list[RecordingGroup | None]
    env_steps: int = 0
    rows: list[Row] = field(default_factory=list)
    seconds: list[dict[str, float]] = field(default_factory=list)


def train_in_dream(
    setup: DreamSetup,
    new_state: Callable[[], DreamState],
    budget: Budget,
    validate: Callable[[np.ndarray], float],
    validate_every: int,
    checkpoint: Checkpoint,
) -> DreamState:
    """Record, let M learn, let C learn in M's dreams, until the budget is used up.

    `validate` scores a point on the real track every `validate_every` iterations, for the curve
    alone: nothing is chosen by it.
    """
    config = setup.config
    # Noise, prices and rates depend on the budget: training by another one starts from scratch
    state = checkpoint.resume(lambda state: state.budget == budget) or new_state()
    record, trainer, method = state.record, state.trainer, state.method
    with Progress(
        "train_controller", budget.iterations, "iterations", len(state.rows)
    ) as progress:
        while not budget.is_over(iteration := len(state.rows), state.env_steps):
            share = budget.share(iteration, state.env_steps)
            rules, row = config.rules_at(share), {}

            # Validate what would be kept if training ended here, without noise
            point = method.point()
            validation = validate(point) if iteration % validate_every == 0 else ""

            # Record: C drives the real track with noise; before the first lesson it cannot
            if iteration:
                noise = method.noise(share)
                segments, state.groups = setup.record_segment(
                    point, noise, iteration, state.groups
                )
                row = curve_columns(segments)
                first_slot = 0
                for segment in segments:
                    record.add(segment, first_slot)
                    first_slot += segment.rewards.shape[1]
                    state.env_steps += segment.rewards.size

            # M learns from what was recorded, half of it just now
            steps = config.model.steps if iteration else config.model.first_steps
            rate = geometric(config.model.learning_rate, share)
            losses = trainer.learn(record, steps, rate)

            # C learns in the dream, from moments of the newest drives and some of the explorer's
            rng = generator(setup.seed, "dream", "lesson", setup.name, iteration)
            chosen = rng.permutation(record.explored)[: config.starts.explored_drives].tolist()
            chosen += record.newest(config.starts.newest_frames)
            drives = [record.drives[index] for index in chosen if len(record.drives[index]) > 1]
            lesson = Lesson(
                model=trainer.model,
                memory=setup.agent.memory,
                along=follow(drives, setup.agent.memory, DreamStep(trainer.model)),
                rules=rules,
                weights=config.starts.weights(),
                share=share,
                discount=config.discount_at(share),
                lost_delay=config.model.lost_delay,
                rng=rng,
                threads=setup.threads,
            )
            lesson_columns = method.learn(lesson)

            # Record how it went
            so_far = {"iteration": iteration, "env_steps": state.env_steps}
            rest = {"exploration_std": method.noise(share), "lost_cost": rules.lost_cost}
            empty = {"real_reward": "", "real_losses": "", "return_mean": ""}
            columns = (
                so_far | empty | row | lesson_columns | losses | rest | {"validation": validation}
            )
            state.rows.append(columns)
            elapsed = round(checkpoint.seconds_before + progress.seconds(), 1)
            state.seconds.append({"iteration": iteration, "seconds": elapsed})
            progress.advance(1, report(columns))
            if checkpoint.due():
                checkpoint.save(state)
    state.groups = [None] * len(state.groups)  # large, and no longer needed
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
        "real_losses": 1000 * sum(end.hopeless for end in ends) / steps,
        "return_mean": float(np.mean([end.score for end in ends])) if ends else "",
    }


def report(row: Row) -> str:
    """A row, for the progress bar."""
    real = f"real {row['real_reward']:.2f}, " if row["real_reward"] != "" else ""
    text = f"points per step: {real}dreamt {row['dreamt_reward']:.2f}"
    if row["validation"] != "":
        text += f", validation {row['validation']:.0f}"
    return f"{text}, {row['env_steps']} steps"
