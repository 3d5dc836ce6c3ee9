"""Drive CarRacing and record the scenes.

policy of the round -> data/ROUND/scenes, results/ROUND/sample
A quarter of a minute for 150,000 frames on two cores.
Paper: section 4.2 step 1, figure 3; the rounds: section 5, "iterative training procedure".
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from worldmodels.agent.agent import Agent
from worldmodels.driving.episodes import Outcome
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
    record_agent,
    record_exploration,
    record_random_agents,
)
from worldmodels.records.coverage import coverage
from worldmodels.records.scenes import Episode, Scenes
from worldmodels.runtime import resumable
from worldmodels.runtime.checkpoint import Checkpoint
from worldmodels.runtime.parallel import run_chunks, worker_count
from worldmodels.runtime.progress import Progress
from worldmodels.runtime.seeds import tracks_for_training
from worldmodels.vision.images import write_grid

EPISODES_A_CHUNK = 32
EXPLORER, RANDOM = "worldmodels/policies/explorer.py", "worldmodels/policies/random_networks.py"


class SampleConfig(Section):
    horizon: Count
    patience: Natural


class Noise(Section):
    correlation: Count
    steering_std: NonNegative
    gas_std: Positive
    brake_std: Positive


class Round(Part):
    policy: str
    frames: Count
    exploration_share: Share


class Params(Part):
    seed: Seed
    machine: stage.Device
    sample: SampleConfig
    exploration: ExplorationConfig
    noise: Noise
    round: Round


def record(name: str, params: Params, checkpoint: Checkpoint) -> list[Episode]:
    """Episodes with just the frames the round asks for: explored first, then the policy's."""
    limits: tuple = (params.sample.horizon, params.sample.patience, params.seed)
    explored = round(params.round.frames * params.round.exploration_share)
    policy = params.round.policy
    if policy == EXPLORER and params.round.exploration_share != 1:
        raise UserError(
            f"params.yaml: rounds.{name}.exploration_share is {params.round.exploration_share}, "
            "but its policy is the explorer: make it 1.0"
        )
    if policy != EXPLORER and params.round.exploration_share == 1:
        raise UserError(
            f"params.yaml: rounds.{name}.exploration_share is 1, so that its policy, {policy}, "
            "would drive nothing: make it less"
        )
    agent = None if policy in (EXPLORER, RANDOM) else Agent.load(Path(policy))
    recording = checkpoint.resume() or {"explore": Recording(), "drive": Recording()}

    def save_if_due() -> None:
        if checkpoint.due():
            checkpoint.save(recording)

    tracks = partial(tracks_for_training, seed=params.seed, purpose=("explore", name))
    collect(
        recording["explore"],
        explored,
        record_exploration,
        (params.exploration,),
        limits,
        tracks,
        save_if_due,
    )
    if policy != EXPLORER:
        tracks = partial(tracks_for_training, seed=params.seed, purpose=("drive", name))
        limits = (*limits, params.machine.device)
        driven = params.round.frames - explored
        drive = record_random_agents if agent is None else record_agent
        who = () if agent is None else (agent, wander_around_zero(params.noise))
        collect(recording["drive"], driven, drive, who, limits, tracks, save_if_due)
    return recording["explore"].episodes + recording["drive"].episodes


@dataclass
class Recording:
    """What has been recorded so far, and how many tracks have been driven for it."""

    episodes: list[Episode] = field(default_factory=list)
    started: int = 0


def wander_around_zero(noise: Noise) -> ExplorationConfig:
    """The noise on an agent's actions: the exploring process around no action."""
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
    drive: Callable[..., list[Outcome]],
    who: tuple,
    limits: tuple,
    first_tracks: Callable[[int], list[int]],
    on_wave: Callable[[], None],
) -> None:
    """Record chunks of episodes until there are `frames`; cut what is too much.

    The episodes are those of `first_tracks(n)` in order, however many are driven at once.
    """
    left = frames - sum(len(episode.rewards) for episode in recording.episodes)
    with Progress("sample", frames, "frames", frames - left) as progress:
        while left > 0:
            wave = EPISODES_A_CHUNK * worker_count()
            tracks = first_tracks(recording.started + wave)[recording.started :]
            cuts = [
                tracks[cut : cut + EPISODES_A_CHUNK] for cut in range(0, wave, EPISODES_A_CHUNK)
            ]
            chunks = [(*who, cut, *limits) for cut in cuts]
            for outcomes in run_chunks(drive, chunks, lambda chunk: f"tracks {chunk[len(who)]}"):
                for outcome in outcomes:
                    if outcome.episode is not None and left > 0:
                        recording.episodes.append(shorten(outcome.episode, left))
                        left -= len(recording.episodes[-1].rewards)
                        progress.advance(len(recording.episodes[-1].rewards))
            recording.started += wave
            on_wave()


def shorten(episode: Episode, left: int) -> Episode:
    """The first `left` frames of an episode."""
    if len(episode.rewards) <= left:
        return episode
    return replace(
        episode,
        poses=episode.poses[:left],
        actions=episode.actions[:left],
        rewards=episode.rewards[:left],
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
