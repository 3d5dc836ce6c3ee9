"""Train the controller C: search it with an evolution strategy, or let it learn as it drives.

models/ROUND/vae.safetensors, models/ROUND/mdnrnn.safetensors, data/ROUND/latents.parquet
-> models/ROUND/agent.safetensors, results/ROUND/train_controller
Two minutes for a million steps on two cores.
Paper: section 2.3 and appendix A.3-A.4; the scaled search space and the learning are ours.
"""

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch

from worldmodels.agent.agent import Agent, AgentConfig
from worldmodels.control.controller import Inputs, parameter_count
from worldmodels.control.search_space import (
    SearchSpace,
    hidden_states,
    raw_space,
    scaled_space,
)
from worldmodels.evolution.candidates import Arena
from worldmodels.evolution.search import Plan, Schedule, search
from worldmodels.evolution.strategies import (
    CMAES,
    EvolutionStrategy,
    Optimiser,
    SimpleES,
    SimpleESConfig,
)
from worldmodels.memory.mdnrnn import MDNRNN, load_mdnrnn
from worldmodels.pipeline import stage
from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.params import (
    Count,
    Natural,
    Part,
    Population,
    Positive,
    Section,
    Seed,
)
from worldmodels.pipeline.storage import write_csv, write_json
from worldmodels.ppo.learning import PPOConfig, Setup, learn
from worldmodels.records.latents import Latents
from worldmodels.runtime import resumable
from worldmodels.runtime.checkpoint import Checkpoint
from worldmodels.runtime.seeds import generator, torch_generator, tracks_for_validation
from worldmodels.training.budget import Budget
from worldmodels.training.curve import Row
from worldmodels.vision.vae import load_vae

# Whether a checkpoint by another plan can be gone on from, Search and Training tell themselves.
PLAN = ("rounds.${key}.generations", "rounds.${key}.env_steps", "evolution.schedule")


class ControllerConfig(Section):
    inputs: Inputs
    latent: Literal["mu", "sample"]
    memory: Literal["trained", "untrained"]
    precision: Literal["float32", "bfloat16"]
    space: Literal["scaled", "raw"]
    std_floor: Positive
    scaling_frames: Count
    horizon: Count
    patience: Natural
    validate_every: Count
    validation_tracks: Count


class EvolutionConfig(Section):
    hidden_components: Count
    population: Population
    sigma: Positive
    schedule: Schedule
    simple_es: SimpleESConfig


class Round(Part):
    optimiser: Literal[Optimiser, "ppo"]
    generations: Count
    env_steps: Natural
    trial: Natural


class Params(Part):
    seed: Seed
    machine: stage.Machine
    controller: ControllerConfig
    evolution: EvolutionConfig
    ppo: PPOConfig
    round: Round


class World(NamedTuple):
    """What C is trained in: an agent whose C is blank, its M, and the latents of the record."""

    agent: Agent
    memory: MDNRNN
    latents: Latents


def training_seed(params: Params) -> int:
    """What C's training draws from: another seed for every trial on the same V and M."""
    rng = generator(params.seed, "controller", "trial", params.round.trial)
    return int(rng.integers(1 << 31))


def budget_of(params: Params) -> Budget:
    """How long the round trains C."""
    return Budget(params.round.generations, params.round.env_steps)


def make_space(memory: MDNRNN, latents: Latents, params: Params, components: int) -> SearchSpace:
    """The space that params name, scaled by what V and M gave on the record."""
    config = params.controller
    size, sees_hidden = latents.mu.shape[1], config.inputs == "z+h"
    if config.space == "raw":
        features = size + memory.config.hidden_size if sees_hidden else size
        return raw_space(config.inputs, features)
    mu = latents.mu.astype(np.float64)
    hidden = None
    if sees_hidden:
        rng = generator(params.seed, "controller", "scaling")
        hidden = hidden_states(memory, latents, config.scaling_frames, rng)
    return scaled_space(config.inputs, mu, hidden, components, config.std_floor)


def make_strategy(dimensions: int, params: Params, rng: np.random.Generator) -> EvolutionStrategy:
    """The evolution strategy that params name, started at zero."""
    config = params.evolution
    begun = np.zeros(dimensions), config.sigma, config.population, rng
    if params.round.optimiser == "cma-es":
        return CMAES(*begun)
    return SimpleES(*begun, config.simple_es)


class Found(NamedTuple):
    """What came of training C: a point [D] of `space`."""

    space: SearchSpace
    point: np.ndarray
    env_steps: int
    rows: list[Row]
    seconds: list[dict[str, float]]


def searched(name: str, params: Params, world: World, checkpoint: Checkpoint) -> Found:
    """C by an evolution strategy."""
    config = params.controller
    space = make_space(world.memory, world.latents, params, params.evolution.hidden_components)
    rng = generator(training_seed(params), "controller", "population", name)
    strategy = make_strategy(space.dimensions, params, rng)
    arena = make_arena(world.agent, space, params)
    held_out = tracks_for_validation(config.validation_tracks)
    plan = Plan(budget_of(params), params.evolution.schedule)
    run = search(strategy, arena, name, plan, held_out, config.validate_every, checkpoint)
    return Found(space, run.strategy.mean, run.env_steps, run.rows, run.seconds)


def learnt(name: str, params: Params, world: World, checkpoint: Checkpoint) -> Found:
    """C by proximal policy optimisation, from zero."""
    config = params.controller
    space = make_space(world.memory, world.latents, params, world.memory.config.hidden_size)
    inputs = actor_inputs(space, world.latents.mu.shape[1], params)
    actor = space.leading(inputs)
    arena = make_arena(world.agent, actor, params)

    def validate(point: np.ndarray) -> float:
        return float(score(arena, point, config.validation_tracks).mean())

    limits = config.horizon, config.patience
    run = training_seed(params), name, params.machine.device
    setup = Setup(params.ppo, limits, world.agent, space, inputs, *run)
    training = learn(setup, budget_of(params), validate, config.validate_every, checkpoint)
    return Found(actor, training.point(), training.env_steps, training.rows, training.seconds)


def actor_inputs(space: SearchSpace, latent_size: int, params: Params) -> int:
    """How many rows of `space` an actor sees: of h, only the components that params ask for."""
    config, components = params.controller, params.ppo.hidden_components
    if config.inputs != "z+h" or config.space == "raw":
        return len(space.basis)
    if latent_size + components > len(space.basis):
        raise UserError(
            f"params.yaml: ppo.hidden_components is {components}, but M has a hidden state of "
            f"{len(space.basis) - latent_size}"
        )
    return latent_size + components


def make_arena(agent: Agent, space: SearchSpace, params: Params) -> Arena:
    """Where points of `space` are driven."""
    limits = params.controller.horizon, params.controller.patience
    return Arena(agent, space, *limits, training_seed(params), params.machine.device)


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
        torch.manual_seed(torch_generator(training_seed(params), "memory").initial_seed())
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
    agent.with_candidates(space.unfold(point[None])).save(models / "agent.safetensors")
    results = Path("results") / name / "train_controller"
    write_csv(results / "curve.csv", found.rows)
    write_csv(results / "seconds.csv", found.seconds)  # no output of DVC: time does not repeat
    metrics = {
        "validation_mean": float(scores.mean()),
        "validation_std": float(scores.std(ddof=1)) if len(scores) > 1 else 0.0,
        "validation_tracks": len(scores),
        "iterations": len(found.rows),
        "env_steps": found.env_steps,
        "trained_parameters": space.dimensions,
        "controller_parameters": blank.shape[1],
    }
    write_json(results / "metrics.json", metrics)


if __name__ == "__main__":
    resumable.run("train_controller", Params, main, apart_from=PLAN)
