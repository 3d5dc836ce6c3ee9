"""Search the controller C with an evolution strategy: ask, drive, tell.

models/ROUND/vae.safetensors, models/ROUND/mdnrnn.safetensors, data/ROUND/latents.parquet
-> models/ROUND/agent.safetensors, results/ROUND/train_controller
Ten minutes for 1.5 million steps on two cores.
Paper: section 2.3 and appendix A.3-A.4; the scaled search space is ours.
"""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import AfterValidator, Field

from worldmodels import stage
from worldmodels.agent import Agent, AgentConfig
from worldmodels.controller import Inputs, parameter_count
from worldmodels.driving import Outcome
from worldmodels.evolution import CMAES, EvolutionStrategy, Optimiser, SimpleES, SimpleESConfig
from worldmodels.latents import Latents
from worldmodels.mdnrnn import MDNRNN, load_mdnrnn
from worldmodels.params import Count, Natural, Part, Population, Positive, Section, Seed
from worldmodels.progress import Progress
from worldmodels.rollout import drive_agent
from worldmodels.search_space import SearchSpace, hidden_states, raw_space, scaled_space
from worldmodels.seeds import (
    generator,
    torch_generator,
    tracks_for_training,
    tracks_for_validation,
)
from worldmodels.storage import write_csv, write_json
from worldmodels.vae import load_vae
from worldmodels.workers import deal, run_chunks, worker_count


class Rollouts(Section):
    from_generation: Natural
    tracks: Count


def in_order(rollouts: list[Rollouts]) -> list[Rollouts]:
    """The schedule if it begins with generation 0 and goes on from there, else ValueError."""
    starts = [entry.from_generation for entry in rollouts]
    if starts[0] != 0 or starts != sorted(set(starts)):
        raise ValueError(f"must begin with from_generation 0 and rise; it has {starts}")
    return rollouts


class ControllerConfig(Section):
    inputs: Inputs
    latent: Literal["mu", "sample"]
    memory: Literal["trained", "untrained"]
    precision: Literal["float32", "bfloat16"]
    search: Literal["scaled", "raw"]
    hidden_components: Count
    std_floor: Positive
    scaling_frames: Count
    optimiser: Optimiser
    simple_es: SimpleESConfig
    population: Population
    sigma: Positive
    horizon: Count
    patience: Natural
    validate_every: Count
    validation_tracks: Count


class Round(Part):
    generations: Count
    env_steps: Natural
    rollouts: Annotated[list[Rollouts], Field(min_length=1), AfterValidator(in_order)]


class Params(Part):
    seed: Seed
    machine: stage.Machine
    controller: ControllerConfig
    round: Round


class Arena:
    """Drives candidates of one generation side by side, on all workers."""

    def __init__(self, agent: Agent, space: SearchSpace, params: Params):
        self.agent, self.space, self.params = agent, space, params

    def drive(self, points: np.ndarray, jobs: list[tuple[int, int]]) -> list[Outcome]:
        """Drive (row of `points` [C, D], track) pairs; outcomes in their order."""
        config, params = self.params.controller, self.params
        agent = self.agent.with_candidates(self.space.unfold(points))
        hands = deal(jobs, worker_count())
        settings = ("drawn", config.horizon, config.patience, params.seed, params.machine.device)
        chunks = [(agent, [jobs[i] for i in hand], *settings) for hand in hands]
        outcomes: list[Outcome | None] = [None] * len(jobs)
        for hand, results in zip(hands, run_chunks(drive_agent, chunks, _describe)):
            for index, outcome in zip(hand, results):
                outcomes[index] = outcome
        driven = [outcome for outcome in outcomes if outcome is not None]
        assert len(driven) == len(jobs)
        return driven


def _describe(chunk: tuple) -> str:
    return f"{len(chunk[1])} episodes of (candidate, track) {chunk[1][0]} to {chunk[1][-1]}"


def search(
    strategy: EvolutionStrategy, arena: Arena, name: str, params: Params
) -> tuple[list[dict[str, float | str]], list[dict[str, float]]]:
    """Ask, drive, tell, until the generations or the environment steps are used up.

    Every generation drives new tracks, the same for all its candidates. The distribution's mean
    is what is validated and, in the end, what is kept: the best of noisy scores would flatter.
    Returns a row a generation, where `validation` belongs to the mean *before* its update, and
    the seconds gone after each.
    """
    config, limits = params.controller, params.round
    held_out = tracks_for_validation(config.validation_tracks)
    rows: list[dict[str, float | str]] = []
    seconds: list[dict[str, float]] = []
    env_steps = 0
    with Progress("train_controller", limits.generations, "generations") as progress:
        for generation in range(limits.generations):
            if 0 < limits.env_steps <= env_steps:
                break
            tracks = tracks_for_training(
                tracks_at(limits.rollouts, generation),
                seed=params.seed,
                purpose=("controller", name, generation),
            )
            population = strategy.ask()
            jobs = [(row, track) for row in range(len(population)) for track in tracks]
            validate = generation % config.validate_every == 0
            points = np.concatenate([population, strategy.mean[None]])
            checks = [(len(population), track) for track in held_out] if validate else []
            outcomes = arena.drive(points, jobs + checks)

            scores = np.array([outcome.score for outcome in outcomes])
            fitness = scores[: len(jobs)].reshape(len(population), len(tracks)).mean(axis=1)
            env_steps += sum(outcome.steps for outcome in outcomes[: len(jobs)])
            rows.append(
                {
                    "generation": generation,
                    "env_steps": env_steps,
                    "tracks": len(tracks),
                    "population_mean": float(fitness.mean()),
                    "population_best": float(fitness.max()),
                    "population_std": float(fitness.std()),
                    "sigma": strategy.sigma,
                    "validation": float(scores[len(jobs) :].mean()) if validate else "",
                }
            )
            strategy.tell(population, fitness)
            seconds.append({"generation": generation, "seconds": round(progress.seconds(), 1)})
            note = f"mean {fitness.mean():.0f} best {fitness.max():.0f}"
            if validate:
                note += f" validation {rows[-1]['validation']:.0f}"
            progress.advance(1, f"{note} after {env_steps} steps")
    return rows, seconds


def tracks_at(rollouts: list[Rollouts], generation: int) -> int:
    """Tracks a candidate drives in a generation: the last entry that has begun."""
    begun = [entry for entry in rollouts if entry.from_generation <= generation]
    return begun[-1].tracks


def make_space(memory: MDNRNN, latents: Latents, params: Params) -> SearchSpace:
    """The space that params name, scaled by what V and M gave on the record."""
    config = params.controller
    size, sees_hidden = latents.mu.shape[1], config.inputs == "z+h"
    if config.search == "raw":
        features = size + memory.config.hidden_size if sees_hidden else size
        return raw_space(config.inputs, features)
    mu = latents.mu.astype(np.float64)
    hidden = None
    if sees_hidden:
        rng = generator(params.seed, "controller", "scaling")
        hidden = hidden_states(memory, latents, config.scaling_frames, rng)
    return scaled_space(config.inputs, mu, hidden, config.hidden_components, config.std_floor)


def make_strategy(space: SearchSpace, params: Params, name: str) -> EvolutionStrategy:
    """The optimiser that params name, started at zero."""
    config = params.controller
    rng = generator(params.seed, "controller", "population", name)
    if config.optimiser == "cma-es":
        return CMAES(space.dimensions, config.sigma, config.population, rng)
    return SimpleES(space.dimensions, config.sigma, config.population, rng, config.simple_es)


def main(name: str, params: Params) -> None:
    stage.prepare(params.machine.device, params.machine.threads)
    config, models = params.controller, Path("models") / name
    vae, memory = load_vae(models / "vae.safetensors"), load_mdnrnn(models / "mdnrnn.safetensors")
    latents = Latents.load(Path("data") / name / "latents.parquet")
    if config.memory == "untrained":
        torch.manual_seed(torch_generator(params.seed, "controller", "memory").initial_seed())
        memory = MDNRNN(memory.config, memory.latent_size).requires_grad_(False)
    hidden_size = memory.config.hidden_size
    agent_config = AgentConfig(
        inputs=config.inputs,
        latent=config.latent,
        precision=config.precision,
        latent_size=latents.mu.shape[1],
        hidden_size=hidden_size,
    )
    blank = np.zeros((1, parameter_count(config.inputs, latents.mu.shape[1], hidden_size)))
    agent = Agent.of(agent_config, vae, memory, blank)
    space = make_space(memory, latents, params)
    strategy = make_strategy(space, params, name)
    arena = Arena(agent, space, params)
    rows, seconds = search(strategy, arena, name, params)

    # The mean of the last distribution is the result, and is scored once more as such.
    final = strategy.mean[None]
    checks = [(0, track) for track in tracks_for_validation(config.validation_tracks)]
    scores = np.array([outcome.score for outcome in arena.drive(final, checks)])
    agent.with_candidates(space.unfold(final)).save(models / "agent.safetensors")
    results = Path("results") / name / "train_controller"
    write_csv(results / "curve.csv", rows)
    write_csv(results / "seconds.csv", seconds)  # a log, no output of DVC: time does not repeat
    metrics = {
        "validation_mean": float(scores.mean()),
        "validation_std": float(scores.std(ddof=1)) if len(scores) > 1 else 0.0,
        "validation_tracks": len(scores),
        "generations": len(rows),
        "env_steps": rows[-1]["env_steps"],
        "searched_numbers": space.dimensions,
        "controller_numbers": blank.shape[1],
    }
    write_json(results / "metrics.json", metrics)


if __name__ == "__main__":
    stage.run("train_controller", Params, main)
