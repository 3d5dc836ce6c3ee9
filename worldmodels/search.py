"""The search of C by an evolution strategy: ask, drive, tell (Ha & Schmidhuber 2018, A.4)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Protocol

import numpy as np
from pydantic import AfterValidator, Field

from worldmodels.checkpoint import Checkpoint
from worldmodels.driving import Outcome
from worldmodels.evolution import EvolutionStrategy
from worldmodels.params import Count, Natural, Part, Positive, Section
from worldmodels.progress import Progress
from worldmodels.seeds import tracks_for_training, tracks_for_validation


class Phase(Section):
    """What holds from a generation on.

    A candidate drives `tracks` new tracks and `hard` of the generation before, those on which its
    population did worst; `sigma` is a step size begun anew, None where the strategy's own goes on.
    """

    from_generation: Natural
    tracks: Count
    hard: Natural = 0
    sigma: Positive | None = None


def in_order(schedule: list[Phase]) -> list[Phase]:
    """The schedule if it begins with generation 0 and goes on from there, else ValueError."""
    starts = [phase.from_generation for phase in schedule]
    if starts[0] != 0 or starts != sorted(set(starts)):
        raise ValueError(f"must begin with from_generation 0 and rise; it has {starts}")
    if schedule[0].sigma is not None:
        raise ValueError("the first entry has no sigma: controller.sigma is where a search starts")
    return schedule


class Plan(Part):
    """How long a search goes on, and what its candidates drive."""

    generations: Count
    env_steps: Natural
    schedule: Annotated[list[Phase], Field(min_length=1), AfterValidator(in_order)]


class Validation(Section):
    """How often the mean of a search is validated, in generations, and on how many tracks."""

    validate_every: Count
    validation_tracks: Count


class Drives(Protocol):
    """An `Arena`, or what stands in for one."""

    @property
    def seed(self) -> int: ...

    def drive(
        self,
        points: np.ndarray,
        jobs: list[tuple[int, int]],
        outcomes: dict[int, Outcome],
        on_done: Callable[[], None],
    ) -> list[Outcome]: ...


@dataclass
class Search:
    """How far a search has come; `population` and `outcomes` are of the generation under way.

    `hardest` are the tracks of the generation before, the worst of them first. `rows` has a row a
    generation, where the population's figures are those on new tracks and `validation` belongs to
    the mean *before* its update; `seconds` has the seconds gone after each.
    """

    strategy: EvolutionStrategy
    generation: int = 0
    env_steps: int = 0
    population: np.ndarray | None = None
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    hardest: list[int] = field(default_factory=list)
    rows: list[dict[str, float | str]] = field(default_factory=list)
    seconds: list[dict[str, float]] = field(default_factory=list)

    def is_over(self, plan: Plan) -> bool:
        """Whether the generations or the environment steps are used up."""
        return self.generation >= plan.generations or 0 < plan.env_steps <= self.env_steps

    def is_beyond(self, plan: Plan) -> bool:
        """Whether it has gone on where a search within `plan` would have stopped."""
        steps = [int(row["env_steps"]) for row in self.rows[:-1]]
        return self.generation > plan.generations or any(
            0 < plan.env_steps <= step for step in steps
        )

    def next_population(self, phase: Phase) -> np.ndarray:
        """The candidates [N, D] of the generation under way, asked for once."""
        if self.population is None:
            if phase.sigma is not None and phase.from_generation == self.generation:
                self.strategy.restart(phase.sigma)
            self.population = self.strategy.ask()
        return self.population


def search(
    strategy: EvolutionStrategy,
    arena: Drives,
    name: str,
    plan: Plan,
    validation: Validation,
    checkpoint: Checkpoint,
) -> Search:
    """Ask, drive, tell, until the generations or the environment steps are used up.

    Every generation drives new tracks, the same for all its candidates, and maybe some again on
    which the one before did badly: a car that is fast loses its points on few tracks. The
    distribution's mean is what is validated and, in the end, what is kept: the best of noisy
    scores would flatter.
    """
    held_out = tracks_for_validation(validation.validation_tracks)
    run = checkpoint.resume()
    if run is None or run.is_beyond(plan):
        run = Search(strategy)

    def save_if_due() -> None:
        if checkpoint.due():
            checkpoint.save(run)

    with Progress("train_controller", plan.generations, "generations", run.generation) as progress:
        while not run.is_over(plan):
            phase = phase_at(plan.schedule, run.generation)
            population = run.next_population(phase)
            purpose = ("controller", name, run.generation)
            tracks = tracks_for_training(phase.tracks, seed=arena.seed, purpose=purpose)
            tracks += run.hardest[: phase.hard]
            jobs = [(row, track) for row in range(len(population)) for track in tracks]
            validate = run.generation % validation.validate_every == 0
            points = np.concatenate([population, run.strategy.mean[None]])
            checks = [(len(population), track) for track in held_out] if validate else []
            outcomes = arena.drive(points, jobs + checks, run.outcomes, save_if_due)

            returns = np.array([outcome.score for outcome in outcomes])
            scores = returns[: len(jobs)].reshape(len(population), len(tracks))
            on_new = scores[:, : phase.tracks].mean(axis=1)
            run.hardest = [tracks[i] for i in np.argsort(scores.mean(axis=0), kind="stable")]
            run.env_steps += sum(outcome.steps for outcome in outcomes[: len(jobs)])
            run.rows.append(
                {
                    "generation": run.generation,
                    "env_steps": run.env_steps,
                    "tracks": len(tracks),
                    "population_mean": float(on_new.mean()),
                    "population_best": float(on_new.max()),
                    "population_std": float(on_new.std()),
                    "sigma": run.strategy.sigma,
                    "validation": float(returns[len(jobs) :].mean()) if validate else "",
                }
            )
            run.strategy.tell(population, scores.mean(axis=1))
            gone = round(checkpoint.seconds_before + progress.seconds(), 1)
            run.seconds.append({"generation": run.generation, "seconds": gone})
            run.generation, run.population, run.outcomes = run.generation + 1, None, {}
            note = f"mean {on_new.mean():.0f} best {on_new.max():.0f}"
            if validate:
                note += f" validation {run.rows[-1]['validation']:.0f}"
            progress.advance(1, f"{note} after {run.env_steps} steps")
            save_if_due()
    checkpoint.save(run)  # with more generations asked for, it goes on from here
    return run


def phase_at(schedule: list[Phase], generation: int) -> Phase:
    """The phase that a generation belongs to: the last that has begun."""
    return [phase for phase in schedule if phase.from_generation <= generation][-1]
