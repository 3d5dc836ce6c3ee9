"""C learns while it drives: practise for a segment, update, and again."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from worldmodels.agent import Agent
from worldmodels.checkpoint import Checkpoint
from worldmodels.environment.fleet import SITUATION
from worldmodels.errors import UserError
from worldmodels.params import Count, Share
from worldmodels.ppo import FromTo, Learner, LearningConfig, along
from worldmodels.practice import Experience, Group, Rules, View, practise
from worldmodels.progress import Progress
from worldmodels.search_space import SearchSpace
from worldmodels.seeds import generator, tracks_for_training
from worldmodels.vae import GROUP
from worldmodels.workers import run_chunks


class PPOConfig(LearningConfig):
    """Noise and costs go from their first value towards their second."""

    hidden_components: Count
    cars: Count
    tracks: Count
    steps: Count
    hold: Count
    noise: FromTo
    discount: Share
    lost_cost: FromTo
    missed_cost: FromTo


@dataclass
class Course:
    """How far C has come; `groups` are the cars on their way.

    `plan` are the updates and environment steps after which it is over, 0: no limit. `rows` has a
    row an update: the `tracks` are those of the episodes that ended in it, which are its
    population, and `validation` belongs to C before the update, without noise. `seconds` has the
    seconds gone after each.
    """

    learner: Learner
    plan: tuple[int, int]
    groups: list[Group | None]
    env_steps: int = 0
    rows: list[dict[str, float | str]] = field(default_factory=list)
    seconds: list[dict[str, float]] = field(default_factory=list)

    def is_over(self) -> bool:
        """Whether the updates or the environment steps are used up."""
        updates, env_steps = self.plan
        return len(self.rows) >= updates or 0 < env_steps <= self.env_steps

    def report(self) -> str:
        """The last row in words."""
        row = self.rows[-1]
        scores = {"returns": row["population_mean"], "validation": row["validation"]}
        said = [f"{name} {score:.0f}" for name, score in scores.items() if score != ""]
        return ", ".join([*said, f"{self.env_steps} steps"])

    def note(self, experiences: list[Experience], noise: float, validation: float | str) -> None:
        """Add the row of an update."""
        returns = np.concatenate([experience.returns for experience in experiences])
        self.rows.append(
            {
                "generation": len(self.rows),
                "env_steps": self.env_steps,
                "tracks": len(returns),
                "population_mean": float(returns.mean()) if len(returns) else "",
                "population_best": float(returns.max()) if len(returns) else "",
                "population_std": float(returns.std()) if len(returns) else "",
                "sigma": noise,
                "validation": validation,
            }
        )


def rules_at(config: PPOConfig, limits: tuple[int, int], share: float) -> Rules:
    """How cars practise when `share` of the way is gone."""
    return Rules(
        steps=config.steps,
        hold=config.hold,
        noise=along(config.noise, share),
        horizon=limits[0],
        patience=limits[1],
        discount=config.discount,
        lost_cost=along(config.lost_cost, share),
        missed_cost=along(config.missed_cost, share),
    )


class Classroom(NamedTuple):
    """What does not change while C learns: `limits` are horizon and patience in steps."""

    config: PPOConfig
    limits: tuple[int, int]
    agent: Agent
    actor: SearchSpace
    critic: SearchSpace
    seed: int
    name: str
    device: str

    def group_sizes(self) -> list[int]:
        """Cars of each group: as many groups on every machine, one to a worker at a time."""
        cars = np.arange(self.config.cars)
        return [len(hand) for hand in np.array_split(cars, -(-len(cars) // GROUP))]

    def practise(
        self, point: np.ndarray, groups: list[Group | None], update: int, rules: Rules
    ) -> tuple[list[Experience], list[Group | None]]:
        """Let all groups drive a segment under C at `point`; what they met, and where they are."""
        sizes = self.group_sizes()
        tracks = tracks_for_training(self.config.tracks, self.seed, ("practice", self.name))
        views = tuple(View(space.basis, space.centre) for space in (self.actor, self.critic))
        agent = self.agent.with_candidates(self.actor.unfold(point[None]))
        chunks = []
        for number, (cars, group) in enumerate(zip(sizes, groups)):
            rng = generator(self.seed, "practice", self.name, update, number)
            own = tracks[number :: len(sizes)]
            chunks.append((agent, views, rules, own, rng, cars, group, self.device))
        results = run_chunks(practise, chunks, lambda chunk: f"{chunk[5]} cars of update {update}")
        return [experience for experience, _ in results], [group for _, group in results]


def learn(
    room: Classroom,
    updates: int,
    env_steps: int,
    validate: Callable[[np.ndarray], float],
    validate_every: int,
    checkpoint: Checkpoint,
) -> Course:
    """Practise and update, `updates` times, or until `env_steps` are used up, if that is not 0.

    `validate` scores a point of the actor's space, every so many updates.
    """
    config, groups = room.config, len(room.group_sizes())
    if config.steps % config.hold:
        raise UserError(
            f"params.yaml: ppo.steps is {config.steps}, no multiple of ppo.hold, {config.hold}"
        )
    if config.tracks < groups:
        raise UserError(
            f"params.yaml: ppo.tracks is {config.tracks}, but ppo.cars drive in {groups} groups, "
            "which share no tracks: raise it"
        )
    inputs = len(room.actor.basis), len(room.critic.basis) + SITUATION
    first = int(generator(room.seed, "learner", room.name).integers(1 << 31))
    course = checkpoint.resume(lambda state: state.plan == (updates, env_steps)) or Course(
        Learner(*inputs, config, first), (updates, env_steps), [None] * groups
    )
    with Progress("train_controller", updates, "updates", len(course.rows)) as progress:
        while not course.is_over():
            done, point = len(course.rows), course.learner.point
            share = done / updates
            rules = rules_at(config, room.limits, share)
            validation = validate(point) if done % validate_every == 0 else ""
            experiences, course.groups = room.practise(point, course.groups, done, rules)
            course.env_steps += config.steps * config.cars
            foreseen = course.learner.update(
                experiences, rules.noise, config.discount**config.hold, share
            )
            course.note(experiences, rules.noise, validation)
            gone = round(checkpoint.seconds_before + progress.seconds(), 1)
            course.seconds.append({"generation": done, "seconds": gone})
            progress.advance(1, f"{course.report()}, foreseen {foreseen:.2f}")
            if checkpoint.due():
                checkpoint.save(course)
    checkpoint.save(course)
    return course
