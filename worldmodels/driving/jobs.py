"""What a worker runs: a plain function of an agent and track seeds, with no shared state.

A cluster's engine can run it as it is; here `workers.run_chunks` does.
"""

from collections.abc import Sequence
from typing import Literal

from worldmodels.agent.agent import Agent, AgentDriver
from worldmodels.driving.episodes import Cars, Environments, Outcome, drive
from worldmodels.environment.car_racing import DrawnCarRacing, make_official
from worldmodels.environment.physics.dynamics import agrees_with_box2d
from worldmodels.environment.vector_env import VectorCarRacing

Picture = Literal["drawn", "official"]
CARS = 128  # that a worker drives at once; no result depends on it


def make_cars(picture: Picture, slots: int) -> Cars:
    """`slots` cars with our picture or Gymnasium's."""
    if picture == "official":
        return Environments(make_official, slots)
    return VectorCarRacing(slots) if agrees_with_box2d() else Environments(DrawnCarRacing, slots)


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
    return drive(driver, make_cars(picture, min(cars, len(jobs))), jobs, horizon, patience)
