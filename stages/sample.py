"""Drive CarRacing and record the scenes.

policy of the world -> data/WORLD/scenes, results/WORLD/sample
A quarter of a minute for 150,000 frames on two cores.
Paper: section 3.2 step 1; a second world: section 5, "iterative training procedure".
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from worldmodels.agent.agent import Agent
from worldmodels.driving.limits import Limits
from worldmodels.pipeline import stage
from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.params import (
    Count,
    Natural,
    NonNegative,
    Part,
    Positive,
    Section,
    Seed,
    Share,
)
from worldmodels.pipeline.storage import write_csv, write_json
from worldmodels.policies.explorer import ExplorationConfig
from worldmodels.policies.recording import (
    RecordAgent,
    RecordExploration,
    RecordJob,
    RecordRandomAgents,
)
from worldmodels.records.coverage import coverage
from worldmodels.records.scenes import Episode, Scenes
from worldmodels.reports.images import write_grid
from worldmodels.runtime import resumable
from worldmodels.runtime.checkpoint import Checkpoint
from worldmodels.runtime.progress import Progress
from worldmodels.runtime.seeds import tracks_for_training
from worldmodels.workers.run import run_jobs, workers_at_hand

EPISODES_PER_JOB = 32
EXPLORER = "worldmodels/policies/explorer.py"
RANDOM = "worldmodels/policies/random_networks.py"


class SampleConfig(Section):
    horizon: Count
    patience: Natural


class Noise(Section):
    correlation: Count
    steering_std: NonNegative
    gas_std: Positive
    brake_std: Positive


class World(Part):
    policy: str
    frames: Count
    exploration_share: Share


class Params(Part):
    seed: Seed
    machine: stage.Device
    sample: SampleConfig
    exploration: ExplorationConfig
    noise: Noise
    world: World


@dataclass
class Recording:
    """The episodes recorded so far, and the number of tracks that have been driven for them."""

    episodes: list[Episode] = field(default_factory=list)
    started: int = 0


def record(name: str, params: Params, checkpoint: Checkpoint) -> list[Episode]:
    """Record exactly the frames that the world asks for: the explorer's, then the policy's.

    Raises UserError if policy and exploration_share do not fit together.
    """
    policy, share = params.world.policy, params.world.exploration_share
    refuse_misfits(name, policy, share)
    agent = None if policy in (EXPLORER, RANDOM) else Agent.load(Path(policy))
    limits = Limits(params.sample.horizon, params.sample.patience)
    explored = round(params.world.frames * share)
    recording = checkpoint.resume() or {"explore": Recording(), "drive": Recording()}

    def save_if_due() -> None:
        if checkpoint.due():
            checkpoint.save(recording)

    def explore(tracks: tuple[int, ...]) -> RecordJob:
        return RecordExploration(tracks, limits, params.seed, params.exploration)

    def drive(tracks: tuple[int, ...]) -> RecordJob:
        if agent is None:
            return RecordRandomAgents(tracks, limits, params.seed, params.machine.device)
        noise = wander_around_zero(params.noise)
        return RecordAgent(tracks, limits, params.seed, params.machine.device, agent, noise)

    wanted = {"explore": (explored, explore)}
    if policy != EXPLORER:
        wanted["drive"] = (params.world.frames - explored, drive)
    for purpose, (frames, make_job) in wanted.items():
        tracks = partial(tracks_for_training, seed=params.seed, purpose=(purpose, name))
        collect(recording[purpose], frames, limits.horizon, make_job, tracks, save_if_due)
    return recording["explore"].episodes + recording["drive"].episodes


def refuse_misfits(name: str, policy: str, exploration_share: float) -> None:
    """Raise UserError if the policy of the world `name` is the explorer and does not drive all
    frames, or if it is another one and drives none."""
    key = f"params.yaml: worlds.{name}.exploration_share is {exploration_share:g}"
    if policy == EXPLORER and exploration_share != 1:
        raise UserError(f"{key}, but its policy is the explorer: set it to 1.0")
    if policy != EXPLORER and exploration_share == 1:
        raise UserError(f"{key}, so that its policy, {policy}, would drive nothing: lower it")


def wander_around_zero(noise: Noise) -> ExplorationConfig:
    """The process of the noise on an agent's actions: the explorer's, with means of 0."""
    return ExplorationConfig(
        correlation=noise.correlation,
        steering_std=[noise.steering_std, noise.steering_std],
        gas_mean=[0.0, 0.0],
        gas_std=noise.gas_std,
        brake_mean=[0.0, 0.0],
        brake_std=noise.brake_std,
    )


def collect(
    recording: Recording,
    frames: int,
    horizon: int,
    make_job: Callable[[tuple[int, ...]], RecordJob],
    first_tracks: Callable[[int], list[int]],
    on_wave: Callable[[], None],
) -> None:
    """Add episodes to `recording` until it has `frames` frames; the last one is cut to fit.

    Episodes are those on `first_tracks(n)`, the first n tracks, in order, however many are driven
    at once. No episode is longer than `horizon`. `on_wave` is called when all jobs of a wave are
    done.
    """
    remaining = frames - sum(len(episode.rewards) for episode in recording.episodes)
    with Progress("sample", frames, "frames", frames - remaining) as progress:
        while remaining > 0:
            # As many jobs as there are workers, but no more than are certainly needed
            episodes = -(-remaining // horizon)
            wave = EPISODES_PER_JOB * workers_at_hand(-(-episodes // EPISODES_PER_JOB))
            tracks = first_tracks(recording.started + wave)[recording.started :]
            jobs = [
                make_job(tuple(tracks[cut : cut + EPISODES_PER_JOB]))
                for cut in range(0, wave, EPISODES_PER_JOB)
            ]
            for result in (result for results in run_jobs(jobs) for result in results):
                if result.episode is not None and remaining > 0:
                    episode = shorten(result.episode, remaining)
                    recording.episodes.append(episode)
                    remaining -= len(episode.rewards)
                    progress.advance(len(episode.rewards))
            recording.started += wave
            on_wave()


def shorten(episode: Episode, frames: int) -> Episode:
    """The first `frames` frames of an episode; where that cuts it, it was not terminated."""
    if len(episode.rewards) <= frames:
        return episode
    return replace(
        episode,
        poses=episode.poses[:frames],
        actions=episode.actions[:frames],
        rewards=episode.rewards[:frames],
        terminated=False,
    )


def main(name: str, params: Params, checkpoint: Checkpoint) -> None:
    stage.prepare(params.machine.device)
    scenes = Scenes(record(name, params, checkpoint))
    scenes.save(Path("data") / name / "scenes")
    metrics, speeds = coverage(scenes)
    results = Path("results") / name / "sample"
    write_json(results / "metrics.json", metrics)
    write_csv(results / "speeds.csv", speeds)
    write_grid(
        results / "frames.png", scenes.draw(np.linspace(0, len(scenes) - 1, 64).astype(int)), 16
    )


if __name__ == "__main__":
    resumable.run("sample", Params, main)
