"""Drive many episodes in lockstep: one batched decision, then one step of each environment."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from worldmodels.driving.limits import Limits, idle_steps
from worldmodels.environment.frames import POSE_DTYPE
from worldmodels.environment.interface import ACTION_SIZE, VectorEnv
from worldmodels.pipeline.errors import UserError
from worldmodels.records.scenes import Episode


class Drive(NamedTuple):
    """An episode to drive: by which candidate (a row of the agent's controllers), on which track
    (the seed of its reset)."""

    candidate: int
    track: int

    def __str__(self) -> str:
        return f"candidate {self.candidate} on track {self.track}"


@dataclass(frozen=True)
class EpisodeResult:
    """The result of a drive: its score (see `Limits.score`), and the episode if recorded."""

    candidate: int
    track: int
    score: float
    steps: int
    episode: Episode | None


class Driver(Protocol):
    """Decides for the environments in some slots of the batch."""

    def start(self, slot: int, candidate: int, episode: int) -> None:
        """Begin an episode in a slot; its random draws follow from the number `episode`."""

    def act(self, slots: np.ndarray, observations: np.ndarray) -> np.ndarray:
        """Actions [n, A] for the observations of `slots` [n]."""

    def remember(self, slots: np.ndarray, actions: np.ndarray) -> None:
        """Note the actions [n, A] that are applied after the last `act`."""


class _Log:
    """Rewards, and poses and actions if they are recorded, of the episodes in the slots so far."""

    def __init__(self, slots: int, limits: Limits, record_as: str | None):
        self.limits, self.record_as = limits, record_as
        self.steps = np.zeros(slots, dtype=np.int64)
        self.idle = np.zeros(slots, dtype=np.int64)
        self.rewards = np.zeros((slots, limits.horizon))
        recorded = 0 if record_as is None else limits.horizon
        self.poses = np.zeros((slots, recorded), dtype=POSE_DTYPE)
        self.actions = np.zeros((slots, recorded, ACTION_SIZE), dtype=np.float16)

    def start(self, slot: int) -> None:
        self.steps[slot] = self.idle[slot] = 0

    def add_actions(self, slots: np.ndarray, poses: np.ndarray, actions: np.ndarray) -> None:
        if self.record_as is not None:
            self.poses[slots, self.steps[slots]] = poses[slots]
            self.actions[slots, self.steps[slots]] = actions

    def add_rewards(self, slots: np.ndarray, rewards: np.ndarray) -> None:
        self.rewards[slots, self.steps[slots]] = rewards
        self.idle[slots] = idle_steps(self.idle[slots], rewards)
        self.steps[slots] += 1

    def cut_off(self, slots: np.ndarray) -> np.ndarray:
        """True where an episode ends here though its environment would go on, [n]."""
        return self.limits.hopeless(self.idle[slots]) | (self.steps[slots] == self.limits.horizon)

    def result(self, slot: int, drive: Drive, terminated: bool, env: VectorEnv) -> EpisodeResult:
        """The result of the episode in a slot, which ends here."""
        steps = int(self.steps[slot])
        rewards = self.rewards[slot, :steps]
        score = self.limits.score(float(np.sum(rewards)), steps, terminated)
        episode = None
        if self.record_as is not None:
            episode = Episode(
                track_seed=drive.track,
                driver=self.record_as,
                poses=self.poses[slot, :steps].copy(),
                actions=self.actions[slot, :steps].copy(),
                rewards=rewards.astype(np.float32),
                terminated=terminated,
                touched_at=env.touched_at(slot),
            )
        return EpisodeResult(*drive, score, steps, episode)


def drive_all(
    driver: Driver,
    env: VectorEnv,
    drives: Sequence[Drive],
    limits: Limits,
    record_as: str | None = None,
) -> list[EpisodeResult]:
    """Drive all `drives`; returns their results in order.

    As many episodes run at once as there are slots; when one ends, its slot takes the next drive.
    An episode ends with the environment's or at the `limits`. `record_as` names the driver in the
    recorded episodes; None: no record. Raises UserError for an action that is not finite.
    """
    log = _Log(min(len(env.observations), len(drives)), limits, record_as)
    queue = iter(enumerate(drives))
    active: dict[int, int] = {}  # by slot, the index of its drive

    def start_next(slot: int) -> None:
        active.pop(slot, None)
        for index, drive in queue:
            env.reset(slot, drive.track)
            driver.start(slot, *drive)
            log.start(slot)
            active[slot] = index
            return

    for slot in range(len(log.steps)):
        start_next(slot)
    results: dict[int, EpisodeResult] = {}
    while active:
        # Decide for all slots at once, and let M see what was decided
        slots = np.array(sorted(active))
        actions = driver.act(slots, env.observations[slots])
        driver.remember(slots, actions)
        if not np.isfinite(actions).all():
            for slot, action in zip(slots, actions):
                refuse_nonfinite(action, drives[active[slot]], int(log.steps[slot]))

        # One step of each environment
        log.add_actions(slots, env.poses, actions)
        rewards, ended = env.step(slots, actions)
        log.add_rewards(slots, rewards)

        # Slots whose episodes are over take the next drives
        for n in np.flatnonzero(ended | log.cut_off(slots)):
            slot, index = int(slots[n]), active[slots[n]]
            results[index] = log.result(slot, drives[index], bool(ended[n]), env)
            start_next(slot)
    return [results[index] for index in range(len(drives))]


def refuse_nonfinite(action: np.ndarray, drive: Drive, step: int) -> None:
    """Raise UserError for an action that is not finite, which the physics would accept."""
    if not np.isfinite(action).all():
        raise UserError(
            f"action {action} of {drive} at step {step} is not finite: the model that chose it is "
            "broken; train it again"
        )
