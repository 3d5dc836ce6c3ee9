"""What a worker runs: plain functions of parameters, seeds and model files, with no shared state.

A cluster's engine can run them as they are; here `workers.run_chunks` does.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import gymnasium

from worldmodels.agent import Agent, AgentDriver
from worldmodels.driving import Noisy, Outcome, drive
from worldmodels.environment.car_racing import DrawnCarRacing, make_official
from worldmodels.exploration import Exploration, ExplorationConfig
from worldmodels.seeds import generator

Picture = Literal["drawn", "official"]
CARS = 64  # that a worker drives at once; no result depends on it
MAKERS: dict[Picture, Callable[[], gymnasium.Env]] = {
    "drawn": DrawnCarRacing,
    "official": make_official,
}


def drive_agent(
    agent: Agent,
    jobs: Sequence[tuple[int, int]],
    picture: Picture,
    horizon: int,
    patience: int,
    seed: int,
    device: str,
) -> list[Outcome]:
    """Drive (candidate, track) pairs; `picture` names the environment."""
    driver = AgentDriver(agent, CARS, seed, device)
    return drive(driver, MAKERS[picture], jobs, horizon, patience, CARS)


def record_exploration(
    config: ExplorationConfig, tracks: Sequence[int], horizon: int, patience: int, seed: int
) -> list[Outcome]:
    """Drive tracks blindly and record the episodes."""
    driver = Noisy(
        None, lambda track: Exploration(config, generator(seed, "explore", track)), CARS
    )
    jobs = [(0, track) for track in tracks]
    return drive(driver, DrawnCarRacing, jobs, horizon, patience, CARS, "exploration")


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
    driver = Noisy(
        AgentDriver(agent, CARS, seed, device),
        lambda track: Exploration(noise, generator(seed, "noise", track)),
        CARS,
    )
    jobs = [(0, track) for track in tracks]
    return drive(driver, DrawnCarRacing, jobs, horizon, patience, CARS, "agent")
