"""What a worker runs: a plain function of an agent and track seeds, with no shared state.

A cluster's engine can run it as it is; here `workers.run_chunks` does.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import gymnasium

from worldmodels.agent import Agent, AgentDriver
from worldmodels.driving import Outcome, drive
from worldmodels.environment.car_racing import DrawnCarRacing, make_official

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
    cars: int = CARS,
) -> list[Outcome]:
    """Drive (candidate, track) pairs, `cars` at once; `picture` names the environment."""
    driver = AgentDriver(agent, cars, seed, device)
    return drive(driver, MAKERS[picture], jobs, horizon, patience, cars)
