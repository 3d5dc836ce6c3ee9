"""C learns while it drives: practise for a segment, update, and again.

What is kept is the mean of the actors after the last updates (Polyak & Juditsky 1992): each of
them loses cars on some tracks by chance, their mean on hardly any.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field

from worldmodels.agent.agent import Agent
from worldmodels.control.controller import HIDDEN_UNITS
from worldmodels.control.search_space import SearchSpace
from worldmodels.environment.privileged import SITUATION
from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.params import Count, Share
from worldmodels.ppo.algorithm import FromTo, Learner, LearningConfig, along
from worldmodels.ppo.practice import Group, Rollout, Rules, practise
from worldmodels.runtime.batch import FIXED_BATCH
from worldmodels.runtime.checkpoint import Checkpoint
from worldmodels.runtime.parallel import run_chunks
from worldmodels.runtime.progress import Progress
from worldmodels.runtime.seeds import generator, tracks_for_training
from worldmodels.training.budget import Budget
from worldmodels.training.curve import Row, curve_row

Shares = Annotated[list[Share], Field(min_length=2, max_length=2)]


class PPOConfig(LearningConfig):
    """Noise, costs and 1 - discount go from their first value towards their second."""

    hidden_components: Count
    cars: Count
    tracks: Count
    steps: Count
    hold: Count
    noise: FromTo
    discount: Shares
    lost_cost: FromTo
    missed_cost: FromTo
    replay_share: Share
    replay_tracks: Count
    averaged_actors: Count


@dataclass
class Training:
    """How far C has come.

    `groups` are the cars on their way, `actors` [D] those after the last updates. `rows` has a row
    an update: the `tracks` are those of the episodes that ended in it, which are its population.
    `seconds` has the seconds gone after each.
    """

    learner: Learner
    budget: Budget
    groups: list[Group | None]
    actors: deque[np.ndarray]
    env_steps: int = 0
    rows: list[Row] = field(default_factory=list)
    seconds: list[dict[str, float]] = field(default_factory=list)

    def point(self) -> np.ndarray:
        """C as a point [D] of its search space: the mean of the actors, or the first one."""
        return np.mean(self.actors or [self.learner.actor.point()], axis=0)

    def is_over(self) -> bool:
        """Whether the budget is used up."""
        return self.budget.is_over(len(self.rows), self.env_steps)

    def report(self) -> str:
        """The last row in words."""
        row = self.rows[-1]
        scores = {"with noise": row["population_mean"], "validation": row["validation"]}
        said = [f"{name} {score:.0f}" for name, score in scores.items() if score != ""]
        return ", ".join([*said, f"{self.env_steps} steps"])


def rules_at(config: PPOConfig, limits: tuple[int, int], share: float) -> Rules:
    """How cars practise when `share` of the way is gone."""
    return Rules(
        steps=config.steps,
        hold=config.hold,
        noise=along(config.noise, share),
        horizon=limits[0],
        patience=limits[1],
        discount=1 - along([1 - discount for discount in config.discount], share),
        lost_cost=along(config.lost_cost, share),
        missed_cost=along(config.missed_cost, share),
        replay_share=config.replay_share,
        replay_tracks=config.replay_tracks,
    )


class Setup(NamedTuple):
    """What does not change while C learns.

    `limits` are horizon and patience in steps. The critic sees what `space` has, the actor the
    first `actor_inputs` of it.
    """

    config: PPOConfig
    limits: tuple[int, int]
    agent: Agent
    space: SearchSpace
    actor_inputs: int
    seed: int
    name: str
    device: str

    def group_sizes(self) -> list[int]:
        """Cars of each group: as many groups on every machine, one to a worker at a time."""
        cars = np.arange(self.config.cars)
        return [len(hand) for hand in np.array_split(cars, -(-len(cars) // FIXED_BATCH))]

    def practise(
        self, point: np.ndarray, groups: list[Group | None], update: int, rules: Rules
    ) -> tuple[list[Rollout], list[Group | None]]:
        """Let all groups drive a segment under C at `point`; what they met, and where they are."""
        sizes = self.group_sizes()
        tracks = tracks_for_training(self.config.tracks, self.seed, ("practice", self.name))
        actor = self.space.leading(self.actor_inputs)
        agent = self.agent.with_candidates(actor.unfold(point[None]))
        chunks = []
        for number, (cars, group) in enumerate(zip(sizes, groups)):
            rng = generator(self.seed, "practice", self.name, update, number)
            own = tracks[number :: len(sizes)]
            sees = self.space, self.actor_inputs
            chunks.append((agent, *sees, rules, own, rng, cars, group, self.device))
        results = run_chunks(practise, chunks, lambda chunk: f"{chunk[6]} cars of update {update}")
        return [rollout for rollout, _ in results], [group for _, group in results]


def learn(
    setup: Setup,
    budget: Budget,
    validate: Callable[[np.ndarray], float],
    validate_every: int,
    checkpoint: Checkpoint,
) -> Training:
    """Practise and update until the budget is used up.

    `validate` scores a point of the actor's space, every so many updates.
    """
    config, groups = setup.config, len(setup.group_sizes())
    if config.steps % config.hold:
        raise UserError(
            f"params.yaml: ppo.steps is {config.steps}, no multiple of ppo.hold, {config.hold}"
        )
    if config.tracks < groups:
        raise UserError(
            f"params.yaml: ppo.tracks is {config.tracks}, but ppo.cars drive in {groups} groups, "
            "which share no tracks: raise it"
        )
    units = HIDDEN_UNITS if setup.agent.config.inputs == "z+hidden" else 0
    inputs = setup.actor_inputs, units, len(setup.space.basis) + SITUATION
    training = checkpoint.resume(lambda state: state.budget == budget)
    if training is None:
        first = int(generator(setup.seed, "learner", setup.name).integers(1 << 31))
        learner = Learner(*inputs, config, first)
        none_yet: deque[np.ndarray] = deque(maxlen=config.averaged_actors)
        training = Training(learner, budget, [None] * groups, none_yet)
    done = len(training.rows)
    with Progress("train_controller", budget.generations, "updates", done) as progress:
        while not training.is_over():
            done, learner = len(training.rows), training.learner
            share = budget.share(done, training.env_steps)
            rules = rules_at(config, setup.limits, share)
            validation = validate(training.point()) if done % validate_every == 0 else ""
            rollouts, training.groups = setup.practise(
                learner.actor.point(), training.groups, done, rules
            )
            training.env_steps += config.steps * config.cars
            explained = learner.update(rollouts, rules.noise, rules.discount**config.hold, share)
            training.actors.append(learner.actor.point())
            scores = np.concatenate([rollout.scores for rollout in rollouts])
            so_far = done, training.env_steps, len(scores)
            training.rows.append(curve_row(*so_far, scores, rules.noise, validation))
            gone = round(checkpoint.seconds_before + progress.seconds(), 1)
            training.seconds.append({"generation": done, "seconds": gone})
            progress.advance(1, f"{training.report()}, value explains {explained:.2f}")
            if checkpoint.due():
                checkpoint.save(training)
    training.groups = [None] * groups  # large, and not needed any more
    checkpoint.save(training)
    return training
