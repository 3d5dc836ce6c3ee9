"""Search the controller C with an evolution strategy: ask, drive, tell.

models/ROUND/vae.safetensors, models/ROUND/mdnrnn.safetensors, data/ROUND/latents.parquet,
who drove in data/ROUND/scenes -> models/ROUND/agent.safetensors, results/ROUND/train_controller
Ten minutes for 1.5 million steps on two cores.
Paper: section 2.3 and appendix A.3-A.4; the scaled search space is ours.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import AfterValidator, Field

from worldmodels import stage
from worldmodels.agent import Agent, AgentConfig
from worldmodels.arena import Arena
from worldmodels.carry_over import carry_over, features_of
from worldmodels.checkpoint import Checkpoint
from worldmodels.controller import Inputs, parameter_count
from worldmodels.driving import Outcome
from worldmodels.evolution import CMAES, EvolutionStrategy, Optimiser, SimpleES, SimpleESConfig
from worldmodels.latents import Latents
from worldmodels.mdnrnn import MDNRNN, load_mdnrnn
from worldmodels.params import Count, Natural, Part, Population, Positive, Section, Seed
from worldmodels.progress import Progress
from worldmodels.scenes import Scenes
from worldmodels.search_space import SearchSpace, hidden_states, raw_space, scaled_space
from worldmodels.seeds import (
    generator,
    torch_generator,
    tracks_for_training,
    tracks_for_validation,
)
from worldmodels.storage import write_csv, write_json
from worldmodels.vae import load_vae


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
    start: Literal["zero", "carried"]
    sigma: Positive
    sigma_carried: Positive
    horizon: Count
    patience: Natural
    validate_every: Count
    validation_tracks: Count


class Round(Part):
    policy: str
    generations: Count
    env_steps: Natural
    rollouts: Annotated[list[Rollouts], Field(min_length=1), AfterValidator(in_order)]


class Params(Part):
    seed: Seed
    machine: stage.Machine
    controller: ControllerConfig
    round: Round


@dataclass
class Search:
    """How far a search has come; `population` and `outcomes` are of the generation under way."""

    strategy: EvolutionStrategy
    generation: int = 0
    env_steps: int = 0
    population: np.ndarray | None = None
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    rows: list[dict[str, float | str]] = field(default_factory=list)
    seconds: list[dict[str, float]] = field(default_factory=list)

    def is_over(self, limits: Round) -> bool:
        """Whether the generations or the environment steps are used up."""
        return self.generation >= limits.generations or 0 < limits.env_steps <= self.env_steps

    def is_beyond(self, limits: Round) -> bool:
        """Whether it has gone on where a search within `limits` would have stopped."""
        steps = [int(row["env_steps"]) for row in self.rows[:-1]]
        return self.generation > limits.generations or any(
            0 < limits.env_steps <= step for step in steps
        )


def search(
    strategy: EvolutionStrategy, arena: Arena, name: str, params: Params, checkpoint: Checkpoint
) -> Search:
    """Ask, drive, tell, until the generations or the environment steps are used up.

    Every generation drives new tracks, the same for all its candidates. The distribution's mean
    is what is validated and, in the end, what is kept: the best of noisy scores would flatter.
    Of the result, `rows` has a row a generation, where `validation` belongs to the mean *before*
    its update, and `seconds` the seconds gone after each.
    """
    config, limits = params.controller, params.round
    held_out = tracks_for_validation(config.validation_tracks)
    run = checkpoint.resume()
    if run is None or run.is_beyond(limits):
        run = Search(strategy)

    def save_if_due() -> None:
        if checkpoint.due():
            checkpoint.save(run)

    with Progress(
        "train_controller", limits.generations, "generations", run.generation
    ) as progress:
        while not run.is_over(limits):
            if run.population is None:
                run.population = run.strategy.ask()
            population = run.population
            tracks = tracks_for_training(
                tracks_at(limits.rollouts, run.generation),
                seed=params.seed,
                purpose=("controller", name, run.generation),
            )
            jobs = [(row, track) for row in range(len(population)) for track in tracks]
            validate = run.generation % config.validate_every == 0
            points = np.concatenate([population, run.strategy.mean[None]])
            checks = [(len(population), track) for track in held_out] if validate else []
            outcomes = arena.drive(points, jobs + checks, run.outcomes, save_if_due)

            scores = np.array([outcome.score for outcome in outcomes])
            fitness = scores[: len(jobs)].reshape(len(population), len(tracks)).mean(axis=1)
            run.env_steps += sum(outcome.steps for outcome in outcomes[: len(jobs)])
            run.rows.append(
                {
                    "generation": run.generation,
                    "env_steps": run.env_steps,
                    "tracks": len(tracks),
                    "population_mean": float(fitness.mean()),
                    "population_best": float(fitness.max()),
                    "population_std": float(fitness.std()),
                    "sigma": run.strategy.sigma,
                    "validation": float(scores[len(jobs) :].mean()) if validate else "",
                }
            )
            run.strategy.tell(population, fitness)
            gone = round(checkpoint.seconds_before + progress.seconds(), 1)
            run.seconds.append({"generation": run.generation, "seconds": gone})
            run.generation, run.population, run.outcomes = run.generation + 1, None, {}
            note = f"mean {fitness.mean():.0f} best {fitness.max():.0f}"
            if validate:
                note += f" validation {run.rows[-1]['validation']:.0f}"
            progress.advance(1, f"{note} after {run.env_steps} steps")
            save_if_due()
    checkpoint.save(run)  # with more generations asked for, it goes on from here
    return run


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


def carried(space: SearchSpace, agent: Agent, name: str, params: Params) -> SearchSpace | None:
    """`space` under `agent`'s V and M, moved to where the search of the earlier agent ended.

    None where no agent drove for the record, or one of the two is not linear.
    """
    scenes = Scenes.load(Path("data") / name / "scenes")
    by_agent = np.array(scenes.drivers) == "agent"
    if params.controller.start == "zero" or not by_agent.any():
        return None
    earlier = Agent.load(Path(params.round.policy))
    if "z+hidden" in (agent.config.inputs, earlier.config.inputs):
        return None
    threads = params.machine.threads
    new, old = (features_of(who, scenes, by_agent, threads) for who in (agent, earlier))
    return carry_over(space, new, old, earlier.parameters[0], earlier.spread.astype(np.float64))


def make_strategy(
    dimensions: int, sigma: float, config: ControllerConfig, rng: np.random.Generator
) -> EvolutionStrategy:
    """The optimiser that params name, started at zero."""
    start = np.zeros(dimensions)
    if config.optimiser == "cma-es":
        return CMAES(start, sigma, config.population, rng)
    return SimpleES(start, sigma, config.population, rng, config.simple_es)


def main(name: str, params: Params, checkpoint: Checkpoint) -> None:
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
    moved = carried(space, agent, name, params)
    space, sigma = (space, config.sigma) if moved is None else (moved, config.sigma_carried)
    rng = generator(params.seed, "controller", "population", name)
    strategy = make_strategy(space.dimensions, sigma, config, rng)
    horizons = (config.horizon, config.patience)
    arena = Arena(agent, space, *horizons, params.seed, params.machine.device)
    run = search(strategy, arena, name, params, checkpoint)

    # The mean of the last distribution is the result, and is scored once more as such.
    strategy, final = run.strategy, run.strategy.mean[None]
    checks = [(0, track) for track in tracks_for_validation(config.validation_tracks)]
    scores = np.array([outcome.score for outcome in arena.drive(final, checks, {})])
    spread = space.unfold(strategy.mean + strategy.spread) - space.unfold(final)
    found = agent.with_candidates(space.unfold(final)).with_spread(spread)
    found.save(models / "agent.safetensors")
    results = Path("results") / name / "train_controller"
    write_csv(results / "curve.csv", run.rows)
    write_csv(results / "seconds.csv", run.seconds)  # no output of DVC: time does not repeat
    metrics = {
        "validation_mean": float(scores.mean()),
        "validation_std": float(scores.std(ddof=1)) if len(scores) > 1 else 0.0,
        "validation_tracks": len(scores),
        "generations": len(run.rows),
        "env_steps": run.env_steps,
        "searched_numbers": space.dimensions,
        "controller_numbers": blank.shape[1],
    }
    write_json(results / "metrics.json", metrics)


if __name__ == "__main__":
    only_how_far = ("rounds.${key}.generations", "rounds.${key}.env_steps")
    stage.run_long("train_controller", Params, main, apart_from=only_how_far)
