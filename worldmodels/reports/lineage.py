"""What led to an agent: its worlds and rounds, and the real steps that were driven in them.

It is read from params.yaml and from the metrics of training. A stage that asks for it declares
none of these params: a stage on the way to the agent declares each, so the agent changes with it.
"""

import re
from pathlib import Path
from typing import Any

from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.params import PARAMS
from worldmodels.pipeline.storage import read_json
from worldmodels.reports.results import read_metrics

OF_A_WORLD = ("sample", "train_vae", "encode", "train_mdnrnn")
METHODS = {"ppo": "PPO", "cma-es": "CMA-ES", "simple-es": "a simple ES"}
PLACES = {"real": "on the track", "dream": "in the dream"}
AGENT = re.compile(r"models/([^/]+)/agent\.safetensors")

Tree = dict[str, Any]


def round_of(source: str) -> str | None:
    """The round whose agent a path of params.yaml names; None for code, or another agent."""
    return found[1] if (found := AGENT.fullmatch(source)) else None


def is_code(source: str) -> bool:
    """True for the path of a module, which is no agent."""
    return source.endswith(".py")


def agent_in_words(source: str) -> str:
    """An agent whose path params.yaml names, in words."""
    if found := round_of(source):
        return f"round {found}"
    return f"{source}, whose own steps are not counted"


def training_of(name: str, params: Tree) -> list[tuple[str, str]]:
    """The stages, and their worlds or rounds, whose work led to the agent of a round: its own, and
    those of the rounds whose agents drove for its world, or were what its training began with.

    What led to the file of any other agent is not known, and left out. Raises UserError for an
    agent of a round that params.yaml lacks.
    """
    if (entry := params["rounds"].get(name)) is None:
        raise UserError(
            f"{PARAMS}: there is no round {name!r} under rounds, but its agent is used"
        )
    world = entry["world"]
    sources = params["worlds"][world]["policy"], entry["start"]
    agents = [found for source in sources if (found := round_of(source))]
    before = [stage for agent in agents for stage in training_of(agent, params)]
    own = [*((stage, world) for stage in OF_A_WORLD), ("train_controller", name)]
    return list(dict.fromkeys([*before, *own]))


def origin(name: str, params: Tree, results: Path) -> dict[str, str | int]:
    """How the C of a round was trained, `method` and `learned_in`, and the real steps behind it.

    `recorded_steps` were driven to learn a world model from, V and M, or the M that dreams;
    `trained_steps` are those whose rewards trained a C. Both are of all that led to the agent;
    validation and test drives count as neither. Raises UserError if the metrics of a training are
    missing or damaged.
    """
    entry = params["rounds"][name]
    trainer, place = entry["trainer"], entry["learned_in"]
    steps = {"dream": 0, "real": 0}
    recorded = 0
    for stage, of in training_of(name, params):
        if stage == "sample":
            recorded += params["worlds"][of]["frames"]
        if stage == "train_controller":
            metrics = read_metrics(results / of / stage / "metrics.json", "env_steps")
            steps[params["rounds"][of]["learned_in"]] += int(metrics["env_steps"])
    return {
        "method": params[place][trainer]["strategy"] if trainer == "evolution" else trainer,
        "learned_in": place,
        "recorded_steps": recorded + steps["dream"],
        "trained_steps": steps["real"],
    }


def how_trained(path: Path) -> str:
    """What `origin` says of the training of a C, in words, from the metrics of its evaluation.

    Raises UserError if they are missing or do not say it.
    """
    metrics = read_json(path)
    try:
        return f"{METHODS[metrics['method']]} {PLACES[metrics['learned_in']]}"
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{path}: does not say how C was trained ({error}); `git restore` it or `dvc repro`"
        ) from None
