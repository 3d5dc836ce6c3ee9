"""Speed of agent steps (environment, V, M and C): the usual loop, EnvPool in batches, ours."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import envpool
import numpy as np
import torch
from torch.nn import functional

from benchmarks.timing import rates
from worldmodels.agent import driver as driver_module
from worldmodels.agent.agent import Agent
from worldmodels.agent.driver import AgentDriver
from worldmodels.driving.episodes import Drive
from worldmodels.driving.jobs import ENVS_PER_WORKER, DriveJob
from worldmodels.driving.limits import Limits
from worldmodels.environment import vector_env
from worldmodels.environment.actions import squash
from worldmodels.environment.car_racing import make_official
from worldmodels.environment.vector_env import VectorCarRacing
from worldmodels.memory.step import MemoryStep
from worldmodels.runtime.cores import worker_count
from worldmodels.vision.encoder import BatchEncoder
from worldmodels.workers.processes import run_in_processes

STEPS = 300  # per environment, in a batch of ours
USUAL_STEPS = 60
ENVPOOL_STEPS = 15
TRACK = 3_000_000


@dataclass(frozen=True)
class UsualLoop:
    """One Gymnasium environment, one frame at a time through torch in float32."""

    agent: Agent
    steps: int
    track: int

    def __str__(self) -> str:
        return f"the usual loop on track {self.track}"

    def run(self) -> int:
        """The number of steps driven."""
        torch.set_num_threads(1)
        env, slot = make_official(), np.zeros(1, dtype=np.int64)
        ours = self.agent.memory
        memory = MemoryStep(ours.gates, ours.bias, batch=1)
        observation, _ = env.reset(seed=self.track)
        state = memory.start(1)
        weights = torch.from_numpy(self.agent.parameters[0]).float()
        matrix, bias = weights[:-3].view(3, -1), weights[-3:]
        with torch.inference_mode():
            for _ in range(self.steps):
                x = torch.from_numpy(observation).permute(2, 0, 1)[None].float() / 255
                z, _ = self.agent.encoder(x)
                remembered = memory.features(state, slot)
                features = torch.cat([z, remembered], dim=1) if matrix.shape[1] > z.shape[1] else z
                raw = matrix @ features[0] + bias
                action = squash(raw.double().numpy()[None])
                memory.step(state, slot, z, torch.from_numpy(action))
                observation, _, terminated, truncated, _ = env.step(action[0])
                if terminated or truncated:
                    observation, _ = env.reset()
        return self.steps


class EnvPoolLoop:
    """ENVS_PER_WORKER of EnvPool's environments, with V and M in batches, on all cores."""

    def __init__(self, agent: Agent):
        cores = worker_count()
        self.pool = envpool.make_gymnasium(
            "CarRacing-v3", num_envs=ENVS_PER_WORKER, num_threads=cores, max_episode_steps=10**6
        )
        torch.set_num_threads(cores)
        self.driver = AgentDriver(agent, ENVS_PER_WORKER, 1, "cpu")
        self.observations, _ = self.pool.reset()

    def run(self) -> float:
        """The number of steps driven."""
        slots = np.arange(ENVS_PER_WORKER)
        for _ in range(ENVPOOL_STEPS):
            crop = torch.from_numpy(self.observations[:, :84]).permute(0, 3, 1, 2).float()
            small = functional.interpolate(crop, (64, 64), mode="bilinear", antialias=True)
            frames = small.round().byte().permute(0, 2, 3, 1).contiguous().numpy()
            actions = self.driver.act(slots, frames)
            self.driver.remember(slots, actions)
            self.observations = self.pool.step(actions)[0]
        return ENVS_PER_WORKER * ENVPOOL_STEPS


def our_jobs(agent: Agent, envs: int, steps: int, workers: int) -> list[DriveJob]:
    """A job of `envs` environments for each worker."""
    return [
        DriveJob(
            agent=agent,
            drives=tuple(Drive(0, TRACK + worker * envs + env) for env in range(envs)),
            picture="drawn",
            limits=Limits(steps, patience=0),
            seed=1,
            device="cpu",
            slots=envs,
        )
        for worker in range(workers)
    ]


def steps_driven(jobs: list[DriveJob]) -> float:
    """The steps that all workers drive."""
    return sum(result.steps for results in run_in_processes(jobs) for result in results)


def steps_per_second(agent: Agent, rounds: int) -> dict[str, float]:
    """Whole agent steps per second on all cores."""
    cores = worker_count()
    usual = [UsualLoop(agent, USUAL_STEPS, TRACK + core) for core in range(cores)]
    ours = our_jobs(agent, ENVS_PER_WORKER, STEPS, cores)
    pool = EnvPoolLoop(agent)
    return rates(
        {
            "gymnasium": lambda: sum(run_in_processes(usual)),
            "envpool": pool.run,
            "ours": lambda: steps_driven(ours),
        },
        rounds,
    )


def rates_by_environments(agent: Agent, rounds: int) -> dict[str, float]:
    """Agent steps per second of one worker, by the number of its environments."""
    works: dict[str, Callable[[], float]] = {}
    for envs in (1, 2, 4, 8, 16, 32, 64, 128, 256):
        jobs = our_jobs(agent, envs, min(STEPS, 40 + 4000 // envs), 1)
        works[str(envs)] = lambda jobs=jobs: steps_driven(jobs)  # type: ignore[misc]
    return rates(works, rounds)


def rates_by_workers(agent: Agent, rounds: int) -> dict[str, float]:
    """Agent steps per second, by the number of workers of `ENVS_PER_WORKER` environments each."""
    works: dict[str, Callable[[], float]] = {}
    for workers in range(1, worker_count() + 1):
        jobs = our_jobs(agent, ENVS_PER_WORKER, STEPS, workers)
        works[str(workers)] = lambda jobs=jobs: steps_driven(jobs)  # type: ignore[misc]
    return rates(works, rounds)


class Stopwatch:
    """Adds up the seconds spent in some functions: `places` names them as (owner, attribute).

    A context manager, which replaces them while it is active.
    """

    def __init__(self, places: dict[str, tuple[Any, str]]):
        self.places, self.seconds = places, dict.fromkeys(places, 0.0)

    def __enter__(self) -> "Stopwatch":
        self.before = {name: vars(owner)[key] for name, (owner, key) in self.places.items()}
        for name, (owner, attribute) in self.places.items():
            setattr(owner, attribute, self._timed(name, getattr(owner, attribute)))
        return self

    def _timed(self, name: str, function: Callable) -> Callable:
        def timed(*arguments: Any, **named: Any) -> Any:
            started = time.perf_counter()
            result = function(*arguments, **named)
            self.seconds[name] += time.perf_counter() - started
            return result

        return timed

    def __exit__(self, *_: object) -> None:
        for name, (owner, attribute) in self.places.items():
            setattr(owner, attribute, self.before[name])


@dataclass(frozen=True)
class TimeParts:
    """Time the parts of an agent step in one worker."""

    agent: Agent

    def __str__(self) -> str:
        return "timing the parts of an agent step"

    def run(self) -> dict[str, float]:
        """Microseconds per agent step, by what they are spent on."""
        (job,) = our_jobs(self.agent, ENVS_PER_WORKER, STEPS, 1)
        job.run()
        places = {
            "physics": (vector_env, "advance"),
            "picture": (vector_env, "draw_all"),
            "environment": (VectorCarRacing, "step"),
            "reset": (VectorCarRacing, "reset"),
            "V": (BatchEncoder, "__call__"),
            "C": (driver_module, "act"),
            "M": (AgentDriver, "remember"),
        }
        started = time.perf_counter()
        with Stopwatch(places) as watch:
            steps = sum(result.steps for result in job.run())
        total = time.perf_counter() - started
        seconds = watch.seconds
        inside = seconds["physics"] + seconds["picture"]
        spent = {name: seconds[name] for name in ("physics", "picture", "V", "M", "C", "reset")}
        spent["environment_python"] = seconds["environment"] - inside
        spent["rest"] = total - sum(spent.values())
        return {name: value / steps * 1e6 for name, value in spent.items()}


def where_time_goes(agent: Agent) -> dict[str, float]:
    """Microseconds per agent step of one worker, by what they are spent on."""
    return run_in_processes([TimeParts(agent)])[0]
