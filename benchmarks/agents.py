"""Whole agent steps (environment, V, M and C): the usual loop, EnvPool in batches, ours."""

import time
from collections.abc import Callable
from typing import Any

import envpool
import numpy as np
import torch
from torch.nn import functional

from benchmarks.timing import rates
from worldmodels.agent import agent as agent_module
from worldmodels.agent.agent import Agent, AgentDriver
from worldmodels.driving.jobs import CARS, drive_agent
from worldmodels.environment import vector_env
from worldmodels.environment.car_racing import make_official
from worldmodels.environment.vector_env import VectorCarRacing
from worldmodels.runtime.parallel import run_chunks, worker_count
from worldmodels.vision.encoder import BatchEncoder

STEPS = 300  # per environment of ours
USUAL_STEPS = 60
ENVPOOL_STEPS = 15
TRACK = 3_000_000  # the first track seed: of no other use, see `seeds`


def usual_loop(agent: Agent, steps: int, track: int) -> int:
    """Drive one Gymnasium environment, one frame at a time through torch in float32."""
    torch.set_num_threads(1)
    env = make_official()
    observation, _ = env.reset(seed=track)
    hidden = torch.zeros(1, agent.config.hidden_size)
    cell = torch.zeros(1, agent.config.hidden_size)
    weights = torch.from_numpy(agent.parameters[0]).float()
    matrix, bias = weights[:-3].view(3, -1), weights[-3:]
    with torch.inference_mode():
        for _ in range(steps):
            x = torch.from_numpy(observation).permute(2, 0, 1)[None].float() / 255
            z, _ = agent.encoder(x)
            features = torch.cat([z, hidden], dim=1) if matrix.shape[1] > z.shape[1] else z
            raw = torch.tanh(matrix @ features[0] + bias).numpy()
            action = np.array([raw[0], (raw[1] + 1) / 2, max(raw[2], 0)], dtype=np.float32)
            inputs = torch.cat([z, torch.from_numpy(action)[None], hidden], dim=1)
            write, forget, candidate, output = torch.addmm(
                agent.gate_bias, inputs, agent.gates
            ).chunk(4, dim=1)
            cell = forget.sigmoid() * cell + write.sigmoid() * candidate.tanh()
            hidden = output.sigmoid() * cell.tanh()
            observation, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                observation, _ = env.reset()
    return steps


class EnvPoolLoop:
    """As many environments of EnvPool's, one thread per core, V and M batched over all cores."""

    def __init__(self, agent: Agent):
        cores = worker_count()
        self.pool = envpool.make_gymnasium(
            "CarRacing-v3", num_envs=CARS, num_threads=cores, max_episode_steps=10**6
        )
        torch.set_num_threads(cores)
        self.driver = AgentDriver(agent, CARS, 1, "cpu")
        self.observations, _ = self.pool.reset()

    def run(self) -> float:
        """Take ENVPOOL_STEPS in every environment; return the agent steps taken."""
        slots = np.arange(CARS)
        for _ in range(ENVPOOL_STEPS):
            crop = torch.from_numpy(self.observations[:, :84]).permute(0, 3, 1, 2).float()
            small = functional.interpolate(crop, (64, 64), mode="bilinear", antialias=True)
            frames = small.round().byte().permute(0, 2, 3, 1).contiguous().numpy()
            actions = self.driver.act(slots, frames)
            self.driver.took(slots, actions)
            self.observations = self.pool.step(actions)[0]
        return CARS * ENVPOOL_STEPS


def our_jobs(agent: Agent, envs: int, steps: int, workers: int) -> list[tuple]:
    """Return the arguments of `drive_agent` for each worker: `envs` episodes of `steps` steps."""
    return [
        (
            agent,
            [(0, TRACK + worker * envs + env) for env in range(envs)],
            *("drawn", steps, 0, 1, "cpu", envs),
        )
        for worker in range(workers)
    ]


def drive_jobs(jobs: list[tuple]) -> float:
    """Run all jobs, one per worker; return the agent steps taken."""
    results = run_chunks(drive_agent, jobs, str)
    return sum(outcome.steps for outcomes in results for outcome in outcomes)


def steps_per_second(agent: Agent, rounds: int) -> dict[str, float]:
    """Return whole agent steps per second on all cores."""
    cores = worker_count()
    usual = [(agent, USUAL_STEPS, TRACK + core) for core in range(cores)]
    ours = our_jobs(agent, CARS, STEPS, cores)
    pool = EnvPoolLoop(agent)
    return rates(
        {
            "gymnasium": lambda: sum(run_chunks(usual_loop, usual, str)),
            "envpool": pool.run,
            "ours": lambda: drive_jobs(ours),
        },
        rounds,
    )


def rates_by_environments(agent: Agent, rounds: int) -> dict[str, float]:
    """Return agent steps per second of one worker, by the number of environments it drives."""
    works: dict[str, Callable[[], float]] = {}
    for envs in (1, 2, 4, 8, 16, 32, 64, 128, 256):
        jobs = our_jobs(agent, envs, min(STEPS, 40 + 4000 // envs), 1)
        works[str(envs)] = lambda jobs=jobs: drive_jobs(jobs)  # type: ignore[misc]
    return rates(works, rounds)


def rates_by_workers(agent: Agent, rounds: int) -> dict[str, float]:
    """Return agent steps per second of all workers, by their number; each drives `CARS`."""
    works: dict[str, Callable[[], float]] = {}
    for workers in range(1, worker_count() + 1):
        jobs = our_jobs(agent, CARS, STEPS, workers)
        works[str(workers)] = lambda jobs=jobs: drive_jobs(jobs)  # type: ignore[misc]
    return rates(works, rounds)


class Stopwatch:
    """Adds up the seconds spent in some functions while entered: replaces them by timed ones."""

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


def where_time_goes(agent: Agent) -> dict[str, float]:
    """Return microseconds per agent step of one worker, by what they are spent on."""
    return run_chunks(time_parts, [(agent,)], str)[0]


def time_parts(agent: Agent) -> dict[str, float]:
    """Return microseconds per agent step, by what they are spent on, in this process."""
    torch.set_num_threads(1)
    arguments = our_jobs(agent, CARS, STEPS, 1)[0]
    drive_agent(*arguments)  # once before, so that nothing is compiled while it is timed
    places = {
        "physics": (vector_env, "advance"),
        "picture": (vector_env, "draw_all"),
        "environment": (VectorCarRacing, "step"),
        "reset": (VectorCarRacing, "reset"),
        "V": (BatchEncoder, "__call__"),
        "C": (agent_module, "act"),
        "M": (AgentDriver, "took"),
    }
    started = time.perf_counter()
    with Stopwatch(places) as watch:
        steps = sum(outcome.steps for outcome in drive_agent(*arguments))
    total = time.perf_counter() - started
    seconds = watch.seconds
    inside = seconds["physics"] + seconds["picture"]
    spent = {name: seconds[name] for name in ("physics", "picture", "V", "M", "C", "reset")}
    spent["environment_python"] = seconds["environment"] - inside
    spent["rest"] = total - sum(spent.values())
    return {name: value / steps * 1e6 for name, value in spent.items()}
