"""Drive many cars in lockstep: one batched decision, then one step of each car."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import gymnasium
import numpy as np

from worldmodels.environment.car_racing import DrawnCarRacing
from worldmodels.environment.picture.pose import POSE_DTYPE
from worldmodels.environment.picture.resize import SIZE
from worldmodels.pipeline.errors import UserError
from worldmodels.records.scenes import Episode

STEP_COST = 0.1  # CarRacing takes this off the reward of every frame


class Driver(Protocol):
    """Decides for the cars in some slots of the batch."""

    def start(self, slot: int, candidate: int, track: int) -> None: ...

    def act(self, slots: np.ndarray, observations: np.ndarray) -> np.ndarray: ...

    def took(self, slots: np.ndarray, actions: np.ndarray) -> None: ...


class Cars(Protocol):
    """Cars in slots, as `environment.vector_env.VectorCarRacing` has them.

    `observations` uint8 [slots, 64, 64, 3] and `poses` [slots] of POSE_DTYPE are those after the
    last reset or step of a slot.
    """

    observations: np.ndarray
    poses: np.ndarray

    def reset(self, slot: int, seed: int) -> None: ...

    def step(self, slots: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]: ...

    def touched_at(self, slot: int) -> np.ndarray: ...


class Environments:
    """Environments of Gymnasium as `Cars`; only those of DrawnCarRacing have poses."""

    def __init__(self, make_env: Callable[[], gymnasium.Env], slots: int):
        self.make_env = make_env
        self.envs: list[gymnasium.Env | None] = [None] * slots
        self.observations = np.zeros((slots, SIZE, SIZE, 3), dtype=np.uint8)
        self.poses = np.zeros(slots, dtype=POSE_DTYPE)

    def reset(self, slot: int, seed: int) -> None:
        """Begin an episode on the track of `seed`."""
        env = self.envs[slot] = self.envs[slot] or self.make_env()
        self.observations[slot], _ = env.reset(seed=seed)
        self._take_down(slot)

    def step(self, slots: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rewards [n] and ends [n] of the cars in `slots` [n] under `actions` [n, 3]."""
        rewards, ended = np.empty(len(slots)), np.empty(len(slots), dtype=bool)
        for n, (slot, action) in enumerate(zip(slots, actions)):
            env = self.envs[slot]
            assert env is not None
            self.observations[slot], rewards[n], ended[n], _, _ = env.step(action)
            self._take_down(slot)
        return rewards, ended

    def touched_at(self, slot: int) -> np.ndarray:
        """The frame [N] from which each tile looks touched."""
        return self._drawn(slot).touched_at.copy()

    def _take_down(self, slot: int) -> None:
        if isinstance(self._drawn(slot), DrawnCarRacing):
            self.poses[slot] = self._drawn(slot).pose

    def _drawn(self, slot: int) -> DrawnCarRacing:
        return self.envs[slot].unwrapped  # type: ignore[union-attr, return-value]


@dataclass(frozen=True)
class Outcome:
    """What came of one job. `score` is the return, less what the frames after a cut would cost."""

    candidate: int
    track: int
    score: float
    steps: int
    episode: Episode | None


class _Logs:
    """What the cars in the slots have done since the start of their episodes."""

    def __init__(self, slots: int, horizon: int, patience: int, record_as: str | None):
        self.horizon, self.patience, self.record_as = horizon, patience, record_as
        self.steps = np.zeros(slots, dtype=np.int64)
        self.since_tile = np.zeros(slots, dtype=np.int64)
        self.rewards = np.zeros((slots, horizon))
        recorded = 0 if record_as is None else horizon
        self.poses = np.zeros((slots, recorded), dtype=POSE_DTYPE)
        self.actions = np.zeros((slots, recorded, 3), dtype=np.float16)

    def start(self, slot: int) -> None:
        self.steps[slot] = self.since_tile[slot] = 0

    def note_actions(self, slots: np.ndarray, poses: np.ndarray, actions: np.ndarray) -> None:
        if self.record_as is not None:
            self.poses[slots, self.steps[slots]] = poses[slots]
            self.actions[slots, self.steps[slots]] = actions

    def note_rewards(self, slots: np.ndarray, rewards: np.ndarray) -> None:
        self.rewards[slots, self.steps[slots]] = rewards
        self.since_tile[slots] = np.where(rewards > 0, 0, self.since_tile[slots] + 1)
        self.steps[slots] += 1

    def over(self, slots: np.ndarray) -> np.ndarray:
        """Whether the episodes end here though the environment goes on, bool [n]."""
        hopeless = (self.since_tile[slots] >= self.patience) & (self.patience > 0)
        return hopeless | (self.steps[slots] == self.horizon)

    def outcome(self, slot: int, job: tuple[int, int], terminated: bool, cars: Cars) -> Outcome:
        """What came of the episode in `slot`."""
        steps = int(self.steps[slot])
        rewards = self.rewards[slot, :steps]
        score = float(np.sum(rewards))
        if not terminated:
            score -= STEP_COST * (self.horizon - steps)
        episode = None
        if self.record_as is not None:
            episode = Episode(
                track_seed=job[1],
                driver=self.record_as,
                poses=self.poses[slot, :steps].copy(),
                actions=self.actions[slot, :steps].copy(),
                rewards=rewards.astype(np.float32),
                terminated=terminated,
                touched_at=cars.touched_at(slot),
            )
        return Outcome(*job, score, steps, episode)


def drive(
    driver: Driver,
    cars: Cars,
    jobs: Sequence[tuple[int, int]],
    horizon: int,
    patience: int,
    record_as: str | None = None,
) -> list[Outcome]:
    """Drive all `jobs`, pairs (candidate, track seed), and return their outcomes in order.

    As many cars drive at once as there are slots; one that finishes takes the next job. An episode
    ends with the environment's, after `horizon` steps, or, with `patience` > 0, once no new tile
    came for so many steps. `record_as` names the driver in the recorded episodes; None: no record.
    """
    logs = _Logs(min(len(cars.observations), len(jobs)), horizon, patience, record_as)
    queue = iter(enumerate(jobs))
    under_way: dict[int, int] = {}  # the job in each slot

    def start_next(slot: int) -> None:
        under_way.pop(slot, None)
        for job, (candidate, track) in queue:
            cars.reset(slot, track)
            driver.start(slot, candidate, track)
            logs.start(slot)
            under_way[slot] = job
            return

    for slot in range(len(logs.steps)):
        start_next(slot)
    outcomes: dict[int, Outcome] = {}
    while under_way:
        slots = np.array(sorted(under_way))
        actions = driver.act(slots, cars.observations[slots])
        driver.took(slots, actions)
        if not np.isfinite(actions).all():
            for slot, action in zip(slots, actions):
                refuse_nan(action, *jobs[under_way[slot]], int(logs.steps[slot]))
        logs.note_actions(slots, cars.poses, actions)
        rewards, ended = cars.step(slots, actions)
        logs.note_rewards(slots, rewards)
        for n in np.flatnonzero(ended | logs.over(slots)):
            slot, job = int(slots[n]), under_way[slots[n]]
            outcomes[job] = logs.outcome(slot, jobs[job], bool(ended[n]), cars)
            start_next(slot)
    return [outcomes[job] for job in range(len(jobs))]


def refuse_nan(action: np.ndarray, candidate: int, track: int, step: int) -> None:
    """Raise UserError for an action that is no number: the physics would take it."""
    if not np.isfinite(action).all():
        raise UserError(
            f"action {action} of candidate {candidate} on track {track} at step {step} is not "
            "finite: the model that chose it is broken; train it again"
        )
