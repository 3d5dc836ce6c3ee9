"""Train the controller C: search it with an evolution strategy, or let it learn as it drives.

models/ROUND/vae.safetensors, models/ROUND/mdnrnn.safetensors, data/ROUND/latents.parquet,
who drove in data/ROUND/scenes -> models/ROUND/agent.safetensors, results/ROUND/train_controller
Five minutes for a million steps on two cores.
Paper: section 2.3 and appendix A.3-A.4; the scaled search space and the learning are ours.
"""

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch

from worldmodels import stage
from worldmodels.agent import Agent, AgentConfig
from worldmodels.arena import Arena
from worldmodels.carry_over import CarryOverConfig, carry_over, features_of
from worldmodels.checkpoint import Checkpoint
from worldmodels.controller import Inputs, parameter_count
from worldmodels.errors import UserError
from worldmodels.evolution import CMAES, EvolutionStrategy, Optimiser, SimpleES, SimpleESConfig
from worldmodels.latents import Latents
from worldmodels.learning import Classroom, PPOConfig, learn
from worldmodels.mdnrnn import MDNRNN, load_mdnrnn
from worldmodels.params import Count, Natural, Part, Population, Positive, Section, Seed
from worldmodels.scenes import Scenes
from worldmodels.search import Plan, search
from worldmodels.search_space import SearchSpace, hidden_states, raw_space, scaled_space
from worldmodels.seeds import generator, torch_generator, tracks_for_validation
from worldmodels.storage import write_csv, write_json
from worldmodels.vae import load_vae


class ControllerConfig(Section):
    inputs: Inputs
    latent: Literal["mu", "sample"]
    memory: Literal["trained", "untrained"]
    precision: Literal["float32", "bfloat16"]
    search: Literal["scaled", "raw"]
    hidden_components: Count
    std_floor: Positive
    scaling_frames: Count
    simple_es: SimpleESConfig
    population: Population
    start: Literal["zero", "carried"]
    sigma: Positive
    carry_over: CarryOverConfig
    horizon: Count
    patience: Natural
    validate_every: Count
    validation_tracks: Count


class Round(Plan):
    policy: str
    optimiser: Literal[Optimiser, "ppo"]


class Params(Part):
    seed: Seed
    machine: stage.Machine
    controller: ControllerConfig
    ppo: PPOConfig
    round: Round


class World(NamedTuple):
    """What C is trained in: an agent whose C is blank, and what its M gave on the record."""

    agent: Agent
    memory: MDNRNN
    latents: Latents


def make_space(memory: MDNRNN, latents: Latents, params: Params, components: int) -> SearchSpace:
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
    return scaled_space(config.inputs, mu, hidden, components, config.std_floor)


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
    spread = earlier.spread.astype(np.float64)
    return carry_over(params.controller.carry_over, space, new, old, earlier.parameters[0], spread)


def make_strategy(
    dimensions: int, sigma: float, params: Params, rng: np.random.Generator
) -> EvolutionStrategy:
    """The evolution strategy that params name, started at zero."""
    start, config = np.zeros(dimensions), params.controller
    if params.round.optimiser == "cma-es":
        return CMAES(start, sigma, config.population, rng)
    return SimpleES(start, sigma, config.population, rng, config.simple_es)


class Found(NamedTuple):
    """What came of training C: a point [D] of `space`, and how far [D, D] it was still spread."""

    space: SearchSpace
    point: np.ndarray
    spread: np.ndarray
    env_steps: int
    rows: list[dict[str, float | str]]
    seconds: list[dict[str, float]]


def searched(name: str, params: Params, world: World, checkpoint: Checkpoint) -> Found:
    """C by an evolution strategy."""
    config = params.controller
    space = make_space(world.memory, world.latents, params, config.hidden_components)
    moved = carried(space, world.agent, name, params)
    space, sigma = (space, config.sigma) if moved is None else (moved, config.carry_over.sigma)
    rng = generator(params.seed, "controller", "population", name)
    strategy = make_strategy(space.dimensions, sigma, params, rng)
    arena = make_arena(world.agent, space, params)
    held_out = tracks_for_validation(config.validation_tracks)
    run = search(strategy, arena, name, params.round, held_out, config.validate_every, checkpoint)
    strategy = run.strategy
    return Found(space, strategy.mean, strategy.spread, run.env_steps, run.rows, run.seconds)


def learnt(name: str, params: Params, world: World, checkpoint: Checkpoint) -> Found:
    """C by proximal policy optimisation, from zero."""
    config = params.controller
    if config.inputs == "z+hidden":
        raise UserError(
            "params.yaml: controller.inputs is z+hidden, but only a linear C learns by ppo: make "
            f"rounds.{name}.optimiser cma-es"
        )
    actor, critic = (
        make_space(world.memory, world.latents, params, components)
        for components in (params.ppo.hidden_components, world.memory.config.hidden_size)
    )
    arena = make_arena(world.agent, actor, params)

    def validate(point: np.ndarray) -> float:
        return float(score(arena, point, config.validation_tracks).mean())

    limits = config.horizon, config.patience
    run = params.seed, name, params.machine.device
    room = Classroom(params.ppo, limits, world.agent, actor, critic, *run)
    plan = params.round.generations, params.round.env_steps
    course = learn(room, *plan, validate, config.validate_every, checkpoint)
    # On features of unit variance, weights spread so far spread C as far as the last noise did.
    spread = params.ppo.noise[1] / np.sqrt(len(actor.basis) + 1) * np.eye(actor.dimensions)
    point = course.learner.point
    return Found(actor, point, spread, course.env_steps, course.rows, course.seconds)


def make_arena(agent: Agent, space: SearchSpace, params: Params) -> Arena:
    """Where points of `space` are driven."""
    config = params.controller
    return Arena(agent, space, config.horizon, config.patience, params.seed, params.machine.device)


def score(arena: Arena, point: np.ndarray, tracks: int) -> np.ndarray:
    """Returns [T] of a point [D] on validation tracks."""
    jobs = [(0, track) for track in tracks_for_validation(tracks)]
    return np.array([outcome.score for outcome in arena.drive(point[None], jobs, {})])


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
    train = learnt if params.round.optimiser == "ppo" else searched
    found = train(name, params, World(agent, memory, latents), checkpoint)

    # Where training stopped is the result, never the best on the way, and is scored once more.
    space, point = found.space, found.point
    scores = score(make_arena(agent, space, params), point, config.validation_tracks)
    trained = space.unfold(point[None])
    spread = space.unfold(point + found.spread) - trained
    agent.with_candidates(trained).with_spread(spread).save(models / "agent.safetensors")
    results = Path("results") / name / "train_controller"
    write_csv(results / "curve.csv", found.rows)
    write_csv(results / "seconds.csv", found.seconds)  # no output of DVC: time does not repeat
    metrics = {
        "validation_mean": float(scores.mean()),
        "validation_std": float(scores.std(ddof=1)) if len(scores) > 1 else 0.0,
        "validation_tracks": len(scores),
        "generations": len(found.rows),
        "env_steps": found.env_steps,
        "searched_numbers": space.dimensions,
        "controller_numbers": blank.shape[1],
    }
    write_json(results / "metrics.json", metrics)


if __name__ == "__main__":
    plan = ("rounds.${key}.generations", "rounds.${key}.env_steps", "rounds.${key}.schedule")
    stage.run_long("train_controller", Params, main, apart_from=plan)  # see Search.is_within
