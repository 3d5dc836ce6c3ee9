"""Steps per second through Gymnasium's vector interface, on all cores."""

from collections.abc import Callable
from typing import Any

import envpool
import gymnasium
import numpy as np
from gymnasium.vector import AsyncVectorEnv

from benchmarks.environments import driving
from benchmarks.timing import Work, rates
from worldmodels.interop.vector_env import CarRacingVectorEnv
from worldmodels.runtime.cores import worker_count

ENVS = 64
STEPS = {"gymnasium_async": 20, "gymnasium_async_our_picture": 60, "envpool": 30, "ours": 100}


def steps_per_second(rounds: int) -> dict[str, float]:
    """Environment steps per second of ENVS environments on all cores, without autoresets."""
    cores, forever = worker_count(), 10**6

    def asynchronous(name: str) -> AsyncVectorEnv:
        make = [lambda: gymnasium.make(name, max_episode_steps=forever)]
        return AsyncVectorEnv(make * ENVS)

    envs: dict[str, Any] = {
        "gymnasium_async": asynchronous("CarRacing-v3"),
        "gymnasium_async_our_picture": asynchronous(
            "worldmodels.environment:WorldModels/CarRacing-v3"
        ),
        "envpool": envpool.make_gymnasium(
            "CarRacing-v3", num_envs=ENVS, num_threads=cores, max_episode_steps=forever
        ),
        "ours": CarRacingVectorEnv(ENVS, max_episode_steps=forever, threads=cores),
    }
    works: dict[str, Work] = {name: stepping(env, STEPS[name]) for name, env in envs.items()}
    found = rates(works, rounds)
    for env in envs.values():
        env.close()
    return found


def stepping(env: gymnasium.vector.VectorEnv, steps: int) -> Callable[[], float]:
    """Work that takes `steps` steps in each environment, from where it stopped before."""
    actions = np.repeat(driving(steps)[:, None], ENVS, axis=1)
    env.reset()

    def work() -> float:
        for action in actions:
            env.step(action)
        return steps * ENVS

    return work
