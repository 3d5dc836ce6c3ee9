"""What happens between two lessons: C drives the real track, M's dream is judged, the next lesson
is prepared."""

from typing import NamedTuple

import numpy as np
from pydantic import model_validator

from worldmodels.agent.agent import Agent
from worldmodels.control.controller import act
from worldmodels.control.search_space import SearchSpace
from worldmodels.dream.disturbances import HasteConfig, TakeoverConfig
from worldmodels.dream.honesty import honesty, honesty_columns
from worldmodels.dream.learning import DreamTrainingConfig, ModelTrainer
from worldmodels.dream.lesson import Lesson, RulesConfig
from worldmodels.dream.moments import errors_of, follow
from worldmodels.dream.record import Record
from worldmodels.dream.recording import RecordingGroup, RecordSegmentJob, Segment
from worldmodels.dream.schedule import Schedule, latest
from worldmodels.dream.starts import Starts, StartsConfig
from worldmodels.dream.step import DreamStep
from worldmodels.driving.limits import Limits
from worldmodels.pipeline.params import Count, NonNegative, Section, Share
from worldmodels.runtime.seeds import generator, tracks_for_training
from worldmodels.training.curve import Row
from worldmodels.training.schedule import group_sizes, refuse_few_tracks
from worldmodels.workers.run import run_jobs

MOMENTS = 2048  # at which the dream is compared with what happened
ERRORS = 8192  # of M on the record, which are added to what C sees


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

    @model_validator(mode="after")
    def refuse_idle_groups(self) -> "RecordingConfig":
        """The section; raises ValueError if there are fewer tracks than groups."""
        refuse_few_tracks(self.tracks, self.envs)
        return self

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

    @model_validator(mode="after")
    def refuse_unseen_losses(self) -> "PracticeConfig":
        """The section; raises ValueError if the record of a lost car ends before it counts as
        lost."""
        if self.model.lost_delay > self.record.patience:
            raise ValueError(
                f"model.lost_delay is {self.model.lost_delay}, but the record of a lost car ends "
                f"after record.patience, {self.record.patience}: M would never see a loss"
            )
        return self


class DreamPractice(NamedTuple):
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
        """How honest M's dream is on the newest segment, which C drove at `point` [D], and from
        which M has not learnt yet."""
        config = self.config.record
        frames = config.envs * config.steps
        chosen = [index for index in record.newest(frames) if len(record.drives[index]) > 1]
        if not chosen:
            return dict.fromkeys(honesty_columns(), "")
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
