"""The search of C by an evolution strategy: ask, drive, tell (Ha & Schmidhuber 2018, A.4).

Ours, where the paper's candidates drive 16 tracks in all of 1,800 generations: a schedule, with
few tracks early and many late.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple, Protocol

import numpy as np
from pydantic import AfterValidator, Field

from worldmodels.driving.episodes import Outcome
from worldmodels.evolution.strategies import EvolutionStrategy
from worldmodels.pipeline.params import Count, Natural, Section
from worldmodels.runtime.checkpoint import Checkpoint
from worldmodels.runtime.progress import Progress
from worldmodels.runtime.seeds import tracks_for_training
from worldmodels.training.budget import Budget
from worldmodels.training.curve import Row, curve_row


class Phase(Section):
    """How many tracks a candidate drives from a generation on."""

    from_generation: Natural
    tracks: Count


def in_order(schedule: list[Phase]) -> list[Phase]:
    """The schedule if it begins with generation 0 and each phase after the one before, else
    ValueError."""
    starts = [phase.from_generation for phase in schedule]
    if starts[0] != 0 or starts != sorted(set(starts)):
        raise ValueError(f"must begin with from_generation 0 and rise; it has {starts}")
    return schedule


Schedule = Annotated[list[Phase], Field(min_length=1), AfterValidator(in_order)]


class Plan(NamedTuple):
    """How long a search goes on, and how many tracks its candidates drive."""

    budget: Budget
    schedule: Schedule

    def tracks(self, generation: int) -> int:
        """How many tracks a candidate of the generation drives."""
        return [p.tracks for p in self.schedule if p.from_generation <= generation][-1]


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

    `tracks` are the numbers of tracks of each generation, the one under way included. `rows` has a
    row a generation, where `validation` belongs to the mean *before* its update; `seconds` has the
    seconds gone after each.
    """

    strategy: EvolutionStrategy
    generation: int = 0
    env_steps: int = 0
    population: np.ndarray | None = None
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    tracks: list[int] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    seconds: list[dict[str, float]] = field(default_factory=list)

    def is_within(self, plan: Plan) -> bool:
        """Whether a search by `plan` comes by here: else that would have gone other ways so far,
        or would have stopped."""
        planned = [plan.tracks(generation) for generation in range(len(self.tracks))]
        goes_on = not any(
            plan.budget.is_over(done + 1, int(row["env_steps"]))
            for done, row in enumerate(self.rows[:-1])
        )
        return self.tracks == planned and goes_on

    def ask(self, tracks: int) -> np.ndarray:
        """The candidates [N, D] of the generation under way, which drive so many tracks."""
        if self.population is None:
            self.population = self.strategy.ask()
            self.tracks.append(tracks)
        return self.population

    def tell(self, scores: np.ndarray, validation: float | str) -> None:
        """End the generation with the scores [N, T] of its candidates, whose mean is fitness."""
        fitness = scores.mean(axis=1)
        so_far = self.generation, self.env_steps, scores.shape[1]
        self.rows.append(curve_row(*so_far, fitness, self.strategy.sigma, validation))
        assert self.population is not None
        self.strategy.tell(self.population, fitness)
        self.generation, self.population, self.outcomes = self.generation + 1, None, {}


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

    planned = plan.budget.generations
    with Progress("train_controller", planned, "generations", run.generation) as progress:
        while not plan.budget.is_over(run.generation, run.env_steps):
            population = run.ask(plan.tracks(run.generation))
            purpose = ("controller", name, run.generation)
            tracks = tracks_for_training(run.tracks[-1], seed=arena.seed, purpose=purpose)
            jobs = [(row, track) for row in range(len(population)) for track in tracks]
            validate = run.generation % validate_every == 0
            points = np.concatenate([population, run.strategy.mean[None]])
            checks = [(len(population), track) for track in held_out] if validate else []
            outcomes = arena.drive(points, jobs + checks, run.outcomes, save_if_due)

            returns = np.array([outcome.score for outcome in outcomes])
            run.env_steps += sum(outcome.steps for outcome in outcomes[: len(jobs)])
            scores = returns[: len(jobs)].reshape(len(population), len(tracks))
            validation = float(returns[len(jobs) :].mean()) if validate else ""
            run.tell(scores, validation)
            gone = round(checkpoint.seconds_before + progress.seconds(), 1)
            run.seconds.append({"iteration": run.generation - 1, "seconds": gone})
            note = f"population {scores.mean():.0f}"
            if validate:
                note += f", validation {validation:.0f}"
            progress.advance(1, f"{note} after {run.env_steps} steps")
            save_if_due()
    checkpoint.save(run)  # with more generations asked for, it goes on from here
    return run
