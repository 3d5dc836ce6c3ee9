"""The search of C by an evolution strategy: ask, drive, tell (Ha & Schmidhuber 2018, A.4).

Ours, where the paper's goes on alike for 1,800 generations: it goes in phases, with more tracks
later, a step size begun anew, and tracks driven again on which the generation before did badly.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Protocol

import numpy as np
from pydantic import AfterValidator, Field

from worldmodels.checkpoint import Checkpoint
from worldmodels.driving import Outcome
from worldmodels.evolution import EvolutionStrategy
from worldmodels.params import Count, Natural, Part, Positive, Section
from worldmodels.progress import Progress
from worldmodels.seeds import tracks_for_training


class Phase(Section):
    """What holds from a generation on.

    A candidate drives `tracks` new tracks and `hard` of the generation before, those on which its
    population did worst; `sigma` is a step size begun anew, None where the strategy's own goes on;
    `compress_beyond` is as in `fitness`.
    """

    from_generation: Natural
    tracks: Count
    hard: Natural
    sigma: Positive | None
    compress_beyond: Positive | None


def in_order(schedule: list[Phase]) -> list[Phase]:
    """The schedule if each phase can follow the one before, else ValueError."""
    starts = [phase.from_generation for phase in schedule]
    if starts[0] != 0 or starts != sorted(set(starts)):
        raise ValueError(f"must begin with from_generation 0 and rise; it has {starts}")
    if schedule[0].sigma is not None or schedule[0].hard:
        raise ValueError(
            "the first entry has sigma null, since controller.sigma is where a search starts, and "
            "hard 0, since no generation comes before"
        )
    for before, phase in pairwise(schedule):
        if phase.hard > before.tracks + before.hard:
            raise ValueError(
                f"hard is {phase.hard} from generation {phase.from_generation} on, but the one "
                f"before drives {before.tracks + before.hard} tracks"
            )
    return schedule


class Plan(Part):
    """How long a search goes on, and what its candidates drive."""

    generations: Count
    env_steps: Natural
    schedule: Annotated[list[Phase], Field(min_length=1), AfterValidator(in_order)]

    def phase(self, generation: int) -> Phase:
        """The phase that a generation belongs to: the last that has begun."""
        return [phase for phase in self.schedule if phase.from_generation <= generation][-1]


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

    `hardest` are the tracks of the generation before, the worst of them first; `phases` has what
    held in each generation, the one under way included. `rows` has a row a generation, where the
    population's figures are those on new tracks and `validation` belongs to the mean *before* its
    update; `seconds` has the seconds gone after each.
    """

    strategy: EvolutionStrategy
    generation: int = 0
    env_steps: int = 0
    population: np.ndarray | None = None
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    hardest: list[int] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)
    rows: list[dict[str, float | str]] = field(default_factory=list)
    seconds: list[dict[str, float]] = field(default_factory=list)

    def is_over(self, plan: Plan) -> bool:
        """Whether the generations or the environment steps are used up."""
        return self.generation >= plan.generations or 0 < plan.env_steps <= self.env_steps

    def is_within(self, plan: Plan) -> bool:
        """Whether a search by `plan` comes by here: else that would have gone other ways so far,
        or would have stopped."""
        planned = [plan.phase(generation) for generation in range(len(self.phases))]
        steps = [int(row["env_steps"]) for row in self.rows[:-1]]
        goes_on = not any(0 < plan.env_steps <= step for step in steps)
        return self.phases == planned and self.generation <= plan.generations and goes_on

    def ask(self, phase: Phase) -> np.ndarray:
        """The candidates [N, D] of the generation under way."""
        if self.population is None:
            if phase.sigma is not None and phase.from_generation == self.generation:
                self.strategy.restart(phase.sigma)
            self.population = self.strategy.ask()
            self.phases.append(phase)
        return self.population

    def tell(
        self, phase: Phase, tracks: list[int], scores: np.ndarray, validation: float | str
    ) -> None:
        """End the generation with its scores [N, T] on `tracks`, of which the new come first."""
        on_new = scores[:, : phase.tracks].mean(axis=1)
        self.rows.append(
            {
                "generation": self.generation,
                "env_steps": self.env_steps,
                "tracks": len(tracks),
                "population_mean": float(on_new.mean()),
                "population_best": float(on_new.max()),
                "population_std": float(on_new.std()),
                "sigma": self.strategy.sigma,
                "validation": validation,
            }
        )
        assert self.population is not None
        self.strategy.tell(self.population, fitness(scores, phase.compress_beyond))
        self.hardest = [tracks[i] for i in np.argsort(scores.mean(axis=0), kind="stable")]
        self.generation, self.population, self.outcomes = self.generation + 1, None, {}


def fitness(scores: np.ndarray, compress_beyond: float | None) -> np.ndarray:
    """The fitness [N] of candidates with scores [N, T] on the tracks that all of them drove.

    The mean score; or, with `compress_beyond` = w (points), the mean of w log(1 + |d| / w), with
    the sign of d, the score less the track's median: d itself while far below w, its logarithm
    far beyond. One lost car costs hundreds of points, most often by chance, and hides what the
    candidates differ in.
    """
    if compress_beyond is None:
        return scores.mean(axis=1)
    away = (scores - np.median(scores, axis=0)) / compress_beyond
    return (compress_beyond * np.sign(away) * np.log1p(np.abs(away))).mean(axis=1)


def search(
    strategy: EvolutionStrategy,
    arena: Drives,
    name: str,
    plan: Plan,
    held_out: list[int],
    validate_every: int,
    checkpoint: Checkpoint,
) -> Search:
    """Ask, drive, tell, until the generations or the environment steps are used up.

    All candidates of a generation drive the same tracks. The distribution's mean is what is
    validated, on the tracks `held_out`, and, in the end, what is kept: the best of noisy scores
    would flatter.
    """
    run = checkpoint.resume(lambda state: state.is_within(plan)) or Search(strategy)

    def save_if_due() -> None:
        if checkpoint.due():
            checkpoint.save(run)

    with Progress("train_controller", plan.generations, "generations", run.generation) as progress:
        while not run.is_over(plan):
            phase = plan.phase(run.generation)
            population = run.ask(phase)
            purpose = ("controller", name, run.generation)
            tracks = tracks_for_training(phase.tracks, seed=arena.seed, purpose=purpose)
            tracks += run.hardest[: phase.hard]
            jobs = [(row, track) for row in range(len(population)) for track in tracks]
            validate = run.generation % validate_every == 0
            points = np.concatenate([population, run.strategy.mean[None]])
            checks = [(len(population), track) for track in held_out] if validate else []
            outcomes = arena.drive(points, jobs + checks, run.outcomes, save_if_due)

            returns = np.array([outcome.score for outcome in outcomes])
            run.env_steps += sum(outcome.steps for outcome in outcomes[: len(jobs)])
            scores = returns[: len(jobs)].reshape(len(population), len(tracks))
            validation = float(returns[len(jobs) :].mean()) if validate else ""
            run.tell(phase, tracks, scores, validation)
            gone = round(checkpoint.seconds_before + progress.seconds(), 1)
            run.seconds.append({"generation": run.generation - 1, "seconds": gone})
            note = f"population {scores.mean():.0f}"
            if validate:
                note += f", validation {validation:.0f}"
            progress.advance(1, f"{note} after {run.env_steps} steps")
            save_if_due()
    checkpoint.save(run)  # with more generations asked for, it goes on from here
    return run
