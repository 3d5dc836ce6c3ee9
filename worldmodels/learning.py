"""C learns while it drives: practise for a segment, update, and again."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from worldmodels.agent import Agent
from worldmodels.checkpoint import Checkpoint
from worldmodels.environment.fleet import SITUATION
from worldmodels.errors import UserError
from worldmodels.params import Count, Positive
from worldmodels.ppo import FromTo, Learner, LearningConfig, along
from worldmodels.practice import Experience, Group, Rules, View, practise
from worldmodels.progress import Progress
from worldmodels.search_space import SearchSpace
from worldmodels.seeds import generator, tracks_for_training
from worldmodels.vae import GROUP
from worldmodels.workers import run_chunks


class PPOConfig(LearningConfig):
    """Noise and costs go from their first value to their second."""

    hidden_components: Count
    cars: Count
    tracks: Count
    steps: Count
    hold: Count
    noise: FromTo
    discount: Positive
    lost_cost: FromTo
    missed_cost: FromTo


@dataclass
class Course:
    """How far C has come in `updates`; `groups` are the cars on their way.

    `rows` has a row an update, where the population are the episodes that ended in it and
    `validation` belongs to C before the update, without noise; `seconds` has the seconds gone
    after each.
    """

    learner: Learner
    updates: int
    groups: list[Group | None]
    env_steps: int = 0
    rows: list[dict[str, float | str]] = field(default_factory=list)
    seconds: list[dict[str, float]] = field(default_factory=list)

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


def learn(
    config: PPOConfig,
    updates: int,
    limits: tuple[int, int],
    agent: Agent,
    spaces: tuple[SearchSpace, SearchSpace],
    seed: int,
    name: str,
    validate: Callable[[np.ndarray], float],
    validate_every: int,
    checkpoint: Checkpoint,
) -> Course:
    """Practise and update, `updates` times.

    `spaces` are those of actor and critic; `limits` horizon and patience in steps; `validate`
    scores a point of the actor's space. The cars drive in groups, one to a worker at a time, as
    many groups on every machine.
    """
    if config.steps % config.hold:
        raise UserError(
            f"params.yaml: ppo.steps is {config.steps}, no multiple of ppo.hold, {config.hold}"
        )
    actor, critic = spaces
    views = View(actor.basis, actor.centre), View(critic.basis, critic.centre)
    sizes = [
        len(hand) for hand in np.array_split(np.arange(config.cars), -(-config.cars // GROUP))
    ]
    tracks = tracks_for_training(config.tracks, seed, ("practice", name))
    first = generator(seed, "learner", name).integers(1 << 31)
    course = checkpoint.resume(lambda state: state.updates == updates) or Course(
        Learner(len(actor.basis), len(critic.basis) + SITUATION, config, int(first)),
        updates,
        [None] * len(sizes),
    )
    with Progress("train_controller", updates, "updates", len(course.rows)) as progress:
        while (done := len(course.rows)) < updates:
            share = done / updates
            rules = Rules(
                steps=config.steps,
                hold=config.hold,
                noise=along(config.noise, share),
                horizon=limits[0],
                patience=limits[1],
                discount=config.discount,
                lost_cost=along(config.lost_cost, share),
                missed_cost=along(config.missed_cost, share),
            )
            point = course.learner.point
            validation = validate(point) if done % validate_every == 0 else ""
            practised = agent.with_candidates(actor.unfold(point[None]))
            rngs = [generator(seed, "practice", name, done, n) for n in range(len(sizes))]
            chunks = [
                (practised, views, rules, tracks[n :: len(sizes)], rng, cars, group)
                for n, (rng, cars, group) in enumerate(zip(rngs, sizes, course.groups))
            ]
            results = run_chunks(
                practise, chunks, lambda chunk: f"{chunk[5]} cars of update {done}"
            )
            experiences = [experience for experience, _ in results]
            course.groups = [group for _, group in results]
            course.env_steps += config.steps * config.cars
            decision_discount = config.discount**config.hold
            foreseen = course.learner.update(experiences, rules.noise, decision_discount, share)
            course.note(experiences, rules.noise, validation)
            gone = round(checkpoint.seconds_before + progress.seconds(), 1)
            course.seconds.append({"generation": done, "seconds": gone})
            row = course.rows[-1]
            note = f"returns {row['population_mean'] or 0:.0f}, foreseen {foreseen:.2f}"
            if validation != "":
                note += f", validation {validation:.0f}"
            progress.advance(1, f"{note} after {course.env_steps} steps")
            if checkpoint.due():
                checkpoint.save(course)
    checkpoint.save(course)
    return course
