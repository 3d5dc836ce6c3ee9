"""Drive to record: the explorer, random agents, or an agent whose actions wander."""

from collections.abc import Callable, Sequence

import numpy as np

from worldmodels.agent.agent import Agent, AgentDriver
from worldmodels.control.controller import ACTIONS
from worldmodels.driving.episodes import Driver, Outcome, drive
from worldmodels.driving.jobs import CARS, make_cars
from worldmodels.policies.explorer import Exploration, ExplorationConfig
from worldmodels.policies.random_networks import random_agent
from worldmodels.runtime.seeds import generator


class Noisy:
    """A driver whose actions wander, and are rounded to float16 so that the record is exact.

    `wanderer(track)` makes the process that is added to a driver's actions, None where nothing is,
    or that drives alone where `driver` is None.
    """

    def __init__(
        self, driver: Driver | None, wanderer: Callable[[int], Exploration] | None, slots: int
    ):
        self.driver, self.wanderer = driver, wanderer
        self.wanderers: list[Exploration | None] = [None] * slots

    def start(self, slot: int, candidate: int, track: int) -> None:
        if self.wanderer is not None:
            self.wanderers[slot] = self.wanderer(track)
        if self.driver is not None:
            self.driver.start(slot, candidate, track)

    def act(self, slots: np.ndarray, observations: np.ndarray) -> np.ndarray:
        actions = np.zeros((len(slots), ACTIONS))
        for row, slot in enumerate(slots):
            if (wanderer := self.wanderers[slot]) is not None:
                actions[row] = wanderer.wander()
        if self.driver is not None:
            actions = actions + self.driver.act(slots, observations)
        return np.clip(actions, [-1, 0, 0], 1).astype(np.float16).astype(np.float32)

    def took(self, slots: np.ndarray, actions: np.ndarray) -> None:
        if self.driver is not None:
            self.driver.took(slots, actions)


def record_exploration(
    config: ExplorationConfig, tracks: Sequence[int], horizon: int, patience: int, seed: int
) -> list[Outcome]:
    """Drive tracks blindly and record the episodes."""
    slots = min(CARS, len(tracks))
    driver = Noisy(
        None, lambda track: Exploration(config, generator(seed, "explore", track)), slots
    )
    jobs = [(0, track) for track in tracks]
    return drive(driver, make_cars("drawn", slots), jobs, horizon, patience, "exploration")


def record_random_agents(
    tracks: Sequence[int], horizon: int, patience: int, seed: int, device: str
) -> list[Outcome]:
    """Drive each track with a random agent of its own and record the episodes."""
    outcomes = []
    for track in tracks:
        agent = random_agent(generator(seed, "random agent", track))
        driver = Noisy(AgentDriver(agent, 1, seed, device), None, 1)
        cars = make_cars("drawn", 1)
        outcomes += drive(driver, cars, [(0, track)], horizon, patience, "agent")
    return outcomes


def record_agent(
    agent: Agent,
    noise: ExplorationConfig,
    tracks: Sequence[int],
    horizon: int,
    patience: int,
    seed: int,
    device: str,
) -> list[Outcome]:
    """Drive tracks with an agent whose actions wander, and record the episodes."""
    slots = min(CARS, len(tracks))
    driver = Noisy(
        AgentDriver(agent, slots, seed, device),
        lambda track: Exploration(noise, generator(seed, "noise", track)),
        slots,
    )
    jobs = [(0, track) for track in tracks]
    return drive(driver, make_cars("drawn", slots), jobs, horizon, patience, "agent")
