"""Drive many cars in lockstep: one batched decision, then one step of each environment."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import gymnasium
import numpy as np

from worldmodels.environment.car_racing import DrawnCarRacing
from worldmodels.environment.pose import POSE_DTYPE
from worldmodels.environment.resize import SIZE
from worldmodels.errors import UserError
from worldmodels.scenes import Episode

STEP_COST = 0.1  # CarRacing takes this off the reward of every frame


class Driver(Protocol):
    """Decides for the cars in some slots of the batch."""

    def start(self, slot: int, candidate: int, track: int) -> None: ...

    def act(self, slots: np.ndarray, observations: np.ndarray) -> np.ndarray: ...

    def took(self, slots: np.ndarray, actions: np.ndarray) -> None: ...


@dataclass(frozen=True)
class Outcome:
    """What came of one job. `score` is the return, less what the frames after a cut would cost."""

    candidate: int
    track: int
    score: float
    steps: int
    episode: Episode | None


class _Car:
    """One slot: an environment and the episode that is under way in it."""

    def __init__(self, env: gymnasium.Env, horizon: int, record: bool):
        self.env, self.horizon = env, horizon
        self.drawn = env.unwrapped if isinstance(env.unwrapped, DrawnCarRacing) else None
        self.record = record and self.drawn is not None
        self.poses = np.zeros(horizon if self.record else 0, dtype=POSE_DTYPE)
        self.actions = np.zeros((horizon, 3), dtype=np.float16)
        self.rewards = np.zeros(horizon)

    def reset(self, job: int, candidate: int, track: int) -> None:
        self.job, self.candidate, self.track = job, candidate, track
        self.observation, _ = self.env.reset(seed=track)
        self.steps = self.since_tile = 0
        self.terminated = False

    def step(self, action: np.ndarray) -> None:
        if self.record and self.drawn is not None:
            self.poses[self.steps] = self.drawn.pose
            self.actions[self.steps] = action
        self.observation, reward, self.terminated, _, _ = self.env.step(action)
        self.rewards[self.steps] = reward
        self.since_tile = 0 if self.rewards[self.steps] > 0 else self.since_tile + 1
        self.steps += 1

    def outcome(self, patience: int, driver: str) -> Outcome | None:
        """The outcome if the episode is over, else None."""
        hopeless = patience > 0 and self.since_tile >= patience
        if not (self.terminated or hopeless or self.steps == self.horizon):
            return None
        rewards = self.rewards[: self.steps]
        score = float(np.sum(rewards))
        if not self.terminated:
            score -= STEP_COST * (self.horizon - self.steps)
        episode = None
        if self.record and self.drawn is not None:
            episode = Episode(
                track_seed=self.track,
                driver=driver,
                poses=self.poses[: self.steps].copy(),
                actions=self.actions[: self.steps].copy(),
                rewards=rewards.astype(np.float32),
                terminated=self.terminated,
                touched_at=self.drawn.touched_at.copy(),
            )
        return Outcome(self.candidate, self.track, score, self.steps, episode)


def drive(
    driver: Driver,
    make_env: Callable[[], gymnasium.Env],
    jobs: Sequence[tuple[int, int]],
    horizon: int,
    patience: int,
    slots: int,
    record_as: str | None = None,
) -> list[Outcome]:
    """Drive all `jobs`, pairs (candidate, track seed), and return their outcomes in order.

    Up to `slots` cars drive at once; a car that finishes takes the next job. An episode ends
    with the environment's, after `horizon` steps, or, with `patience` > 0, once no new tile came
    for so many steps. `record_as` names the driver in the recorded episodes; None: no record.
    """
    queue = iter(enumerate(jobs))
    cars: dict[int, _Car] = {}
    for slot in range(min(slots, len(jobs))):
        cars[slot] = _Car(make_env(), horizon, record_as is not None)
        _next_job(cars, slot, queue, driver)
    outcomes: dict[int, Outcome] = {}
    observations = np.empty((len(cars), SIZE, SIZE, 3), dtype=np.uint8)
    while cars:
        for row, car in enumerate(cars.values()):
            observations[row] = car.observation
        taken = np.array(list(cars))
        actions = driver.act(taken, observations[: len(cars)])
        driver.took(taken, actions)
        if not np.isfinite(actions).all():
            for action, car in zip(actions, cars.values()):
                refuse_nan(action, car.candidate, car.track, car.steps)
        for action, (slot, car) in zip(actions, list(cars.items())):
            car.step(action)
            outcome = car.outcome(patience, record_as or "")
            if outcome is not None:
                outcomes[car.job] = outcome
                _next_job(cars, slot, queue, driver)
    return [outcomes[job] for job in range(len(jobs))]


def refuse_nan(action: np.ndarray, candidate: int, track: int, step: int) -> None:
    """Raise UserError for an action that is no number: the physics would take it."""
    if not np.isfinite(action).all():
        raise UserError(
            f"action {action} of candidate {candidate} on track {track} at step {step} is not "
            "finite: the model that chose it is broken; train it again"
        )


def _next_job(
    cars: dict[int, _Car], slot: int, queue: Iterator[tuple[int, tuple[int, int]]], driver: Driver
) -> None:
    """Start the next job in a slot, or take the slot away when there is none."""
    for job, (candidate, track) in queue:
        cars[slot].reset(job, candidate, track)
        driver.start(slot, candidate, track)
        return
    cars.pop(slot).env.close()
