"""Search C by an evolution strategy: ask, drive, tell (Ha & Schmidhuber 2018, appendix A.4).

Departs from the paper, whose candidates drive 16 tracks in each of 1,800 generations: here a
schedule gives early generations few tracks and later ones more.
"""

from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import AfterValidator, Field

from worldmodels.driving.episodes import Drive, EpisodeResult
from worldmodels.evolution.strategies import EvolutionStrategy, SimpleESConfig, Strategy
from worldmodels.pipeline.params import Count, Natural, Population, Positive, Section
from worldmodels.runtime.checkpoint import Checkpoint
from worldmodels.runtime.progress import Progress
from worldmodels.runtime.seeds import tracks_for_training
from worldmodels.training.budget import Budget
from worldmodels.training.candidates import Candidates
from worldmodels.training.curve import Row, curve_row


class Phase(Section):
    """The number of tracks that each candidate drives from a generation on."""

    from_generation: Natural
    tracks: Count


def in_order(schedule: list[Phase]) -> list[Phase]:
    """The schedule; raises ValueError unless it begins with generation 0 and then rises."""
    starts = [phase.from_generation for phase in schedule]
    if starts[0] != 0 or starts != sorted(set(starts)):
        raise ValueError(f"must begin with from_generation 0 and rise; it has {starts}")
    return schedule


Schedule = Annotated[list[Phase], Field(min_length=1), AfterValidator(in_order)]


class FineTuningConfig(Section):
    """The section `real.evolution.fine_tuning`: in place of the values of the same names, where
    the search begins with an agent's C."""

    hidden_components: Count
    population: Population
    sigma: Positive
    schedule: Schedule


class EvolutionConfig(Section):
    """The section `real.evolution` of params.yaml."""

    strategy: Strategy
    hidden_components: Count
    population: Population
    sigma: Positive
    schedule: Schedule
    simple_es: SimpleESConfig
    fine_tuning: FineTuningConfig


class Plan(NamedTuple):
    """The budget of a search, and the tracks that its candidates drive."""

    budget: Budget
    schedule: Schedule

    def tracks(self, generation: int) -> int:
        """The number of tracks that each candidate drives in a generation."""
        return [p.tracks for p in self.schedule if p.from_generation <= generation][-1]


@dataclass
class SearchState:
    """The state of a search: all that a checkpoint holds.

    `population` and `results` are those of the current generation. `tracks` are the numbers of
    tracks of each generation, the current one included. `rows` has a row per generation, whose
    `validation` belongs to the mean *before* its update; `seconds` the seconds elapsed after each.
    """

    strategy: EvolutionStrategy
    generation: int = 0
    env_steps: int = 0
    population: np.ndarray | None = None
    results: dict[int, EpisodeResult] = field(default_factory=dict)
    tracks: list[int] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    seconds: list[dict[str, float]] = field(default_factory=list)

    def is_within(self, plan: Plan) -> bool:
        """True if a search following `plan` would have passed through this state."""
        planned = [plan.tracks(generation) for generation in range(len(self.tracks))]
        steps = [int(row["env_steps"]) for row in self.rows]
        return self.tracks == planned and plan.budget.leads_through(steps)

    def ask(self, tracks: int) -> np.ndarray:
        """The candidates [N, D] of the current generation, which drive `tracks` tracks each."""
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
        self.generation, self.population, self.results = self.generation + 1, None, {}


def search_by_es(
    strategy: EvolutionStrategy,
    candidates: Candidates,
    name: str,
    plan: Plan,
    held_out: list[int],
    validate_every: int,
    checkpoint: Checkpoint,
) -> SearchState:
    """Ask, drive, tell, until the budget is used up; the result is the distribution's mean.

    The mean is validated, on the tracks `held_out`, every `validate_every` generations, and it is
    kept: the best of many noisy scores is high by luck. `name` is the round, for the tracks.
    """
    state = checkpoint.resume(lambda state: state.is_within(plan)) or SearchState(strategy)

    def save_if_due() -> None:
        if checkpoint.due():
            checkpoint.save(state)

    total = plan.budget.iterations
    with Progress("train_controller", total, "generations", state.generation) as progress:
        while not plan.budget.is_over(state.generation, state.env_steps):
            # Ask: candidates from the distribution
            population = state.ask(plan.tracks(state.generation))

            # Drive: all candidates on the same tracks, so that their scores differ by what they
            # do; new tracks in each generation; at times the mean on the validation tracks, too
            purpose = ("controller", name, state.generation)
            tracks = tracks_for_training(state.tracks[-1], candidates.seed, purpose)
            drives = [Drive(row, track) for row in range(len(population)) for track in tracks]
            validate = state.generation % validate_every == 0
            checks = [Drive(len(population), track) for track in held_out] if validate else []
            points = np.concatenate([population, state.strategy.mean[None]])
            results = candidates.drive(points, drives + checks, state.results, save_if_due)

            # Tell: a candidate's fitness is its mean return
            returns = np.array([result.score for result in results])
            state.env_steps += sum(result.steps for result in results[: len(drives)])
            scores = returns[: len(drives)].reshape(len(population), len(tracks))
            validation = float(returns[len(drives) :].mean()) if validate else ""
            state.tell(scores, validation)

            # Record how it went
            elapsed = round(checkpoint.seconds_before + progress.seconds(), 1)
            state.seconds.append({"iteration": state.generation - 1, "seconds": elapsed})
            note = f"population {scores.mean():.0f}"
            if validate:
                note += f", validation {validation:.0f}"
            progress.advance(1, f"{note} after {state.env_steps} steps")
            save_if_due()
    checkpoint.save(state)  # a longer run can continue from it
    return state
