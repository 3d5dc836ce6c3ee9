"""Jobs that record: the explorer, random agents, or an agent whose actions wander."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from worldmodels.agent.agent import Agent
from worldmodels.agent.driver import AgentDriver
from worldmodels.driving.episodes import Drive, Driver, EpisodeResult, drive_all
from worldmodels.driving.jobs import ENVS_PER_WORKER
from worldmodels.driving.limits import Limits
from worldmodels.environment.actions import clip
from worldmodels.environment.interface import ACTION_SIZE
from worldmodels.environment.make import make_vector_env
from worldmodels.policies.explorer import Exploration, ExplorationConfig
from worldmodels.policies.random_networks import random_agent
from worldmodels.runtime.seeds import generator


class Wandering:
    """A driver whose actions wander, rounded to float16 so that the record is exact.

    `make_process(track)` makes the process that is added to the actions of `driver`; without a
    `driver` the process drives alone, and without `make_process` nothing is added.
    """

    def __init__(
        self, driver: Driver | None, make_process: Callable[[int], Exploration] | None, slots: int
    ):
        self.driver, self.make_process = driver, make_process
        self.processes: list[Exploration | None] = [None] * slots

    def start(self, slot: int, candidate: int, track: int) -> None:
        """Begin an episode in a slot."""
        if self.make_process is not None:
            self.processes[slot] = self.make_process(track)
        if self.driver is not None:
            self.driver.start(slot, candidate, track)

    def act(self, slots: np.ndarray, observations: np.ndarray) -> np.ndarray:
        """Actions [n, A] float32 for the observations of `slots` [n]."""
        actions = np.zeros((len(slots), ACTION_SIZE))
        for row, slot in enumerate(slots):
            if (process := self.processes[slot]) is not None:
                actions[row] = process.step()
        if self.driver is not None:
            actions = actions + self.driver.act(slots, observations)
        return clip(actions).astype(np.float16).astype(np.float32)

    def remember(self, slots: np.ndarray, actions: np.ndarray) -> None:
        """Note the actions [n, A] that are applied."""
        if self.driver is not None:
            self.driver.remember(slots, actions)


@dataclass(frozen=True)
class RecordJob(ABC):
    """Record an episode on each of `tracks`; subclasses choose what drives."""

    tracks: tuple[int, ...]
    limits: Limits
    seed: int

    @abstractmethod
    def run(self) -> list[EpisodeResult]:
        """The recorded episodes, in the order of the tracks."""

    def __str__(self) -> str:
        return f"recording {len(self.tracks)} tracks, {self.tracks[0]} to {self.tracks[-1]}"

    def record(self, driver: Driver, tracks: tuple[int, ...], name: str) -> list[EpisodeResult]:
        """Record an episode on each of `tracks`, driven by `driver`, which is noted as `name`."""
        env = make_vector_env("drawn", min(ENVS_PER_WORKER, len(tracks)))
        drives = [Drive(0, track) for track in tracks]
        return drive_all(driver, env, drives, self.limits, record_as=name)


@dataclass(frozen=True)
class RecordExploration(RecordJob):
    """The explorer drives; it sees nothing."""

    config: ExplorationConfig

    def run(self) -> list[EpisodeResult]:
        """The recorded episodes, in the order of the tracks."""

        def process(track: int) -> Exploration:
            return Exploration(self.config, generator(self.seed, "explore", track))

        slots = min(ENVS_PER_WORKER, len(self.tracks))
        return self.record(Wandering(None, process, slots), self.tracks, "exploration")


@dataclass(frozen=True)
class RecordRandomAgents(RecordJob):
    """A random agent of its own drives each track."""

    device: str

    def run(self) -> list[EpisodeResult]:
        """The recorded episodes, in the order of the tracks."""
        results = []
        for track in self.tracks:
            agent = random_agent(generator(self.seed, "random agent", track))
            driver = Wandering(AgentDriver(agent, 1, self.seed, self.device), None, 1)
            results += self.record(driver, (track,), "agent")
        return results


@dataclass(frozen=True)
class RecordAgent(RecordJob):
    """An agent drives; the process `noise` is added to its actions."""

    device: str
    agent: Agent
    noise: ExplorationConfig

    def run(self) -> list[EpisodeResult]:
        """The recorded episodes, in the order of the tracks."""

        def process(track: int) -> Exploration:
            return Exploration(self.noise, generator(self.seed, "noise", track))

        slots = min(ENVS_PER_WORKER, len(self.tracks))
        driver = AgentDriver(self.agent, slots, self.seed, self.device)
        return self.record(Wandering(driver, process, slots), self.tracks, "agent")
