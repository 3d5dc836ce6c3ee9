"""The search of C: what drives which tracks, what is scored and what is kept."""

from itertools import pairwise

import numpy as np
import pytest

from worldmodels.checkpoint import Checkpoint
from worldmodels.driving import Outcome, refuse_nan
from worldmodels.errors import UserError
from worldmodels.evolution import CMAES, SimpleES, SimpleESConfig
from worldmodels.search import Plan, fitness, search
from worldmodels.seeds import tracks_for_validation


def phase(start, tracks, hard=0, sigma=None, compress_beyond=None):
    return {
        "from_generation": start,
        "tracks": tracks,
        "hard": hard,
        "sigma": sigma,
        "compress_beyond": compress_beyond,
    }


SCHEDULE = [phase(0, 2), phase(3, 5)]


class FakeArena:
    """Scores a point by its distance from (1, 1, 1) and remembers who drove where."""

    seed = 1

    def __init__(self):
        self.calls = []

    def drive(self, points, jobs, outcomes, on_done):
        self.calls.append((points, jobs))
        return [Outcome(c, t, -float(((points[c] - 1) ** 2).sum()), 10, None) for c, t in jobs]


def run(
    generations=6, env_steps=0, validate_every=2, schedule=SCHEDULE, strategy=None, arena=None
):
    plan = Plan(generations=generations, env_steps=env_steps, schedule=schedule)
    arena = arena or FakeArena()
    strategy = strategy or CMAES(np.zeros(3), 0.5, 8, np.random.default_rng(1))
    held_out = tracks_for_validation(3)
    result = search(strategy, arena, "first", plan, held_out, validate_every, Checkpoint(None))
    return result.rows, result.seconds, arena.calls, strategy


def test_all_candidates_drive_the_same_tracks_and_new_ones_each_generation():
    _, _, calls, _ = run()
    seen = []
    for generation, (_, jobs) in enumerate(calls):
        tracks = {c: [t for who, t in jobs if who == c] for c in range(8)}
        assert len({tuple(driven) for driven in tracks.values()}) == 1
        assert len(tracks[0]) == (2 if generation < 3 else 5)
        seen += tracks[0]
    assert len(set(seen)) == len(seen)


def test_the_mean_of_the_distribution_is_what_is_validated():
    rows, _, calls, _ = run()
    for generation, (points, jobs) in enumerate(calls):
        checks = [track for who, track in jobs if who == 8]
        assert checks == (tracks_for_validation(3) if generation % 2 == 0 else [])
        if checks:
            expected = -float(((points[8] - 1) ** 2).sum())
            assert rows[generation]["validation"] == pytest.approx(expected)
        else:
            assert rows[generation]["validation"] == ""
    assert calls[0][0][8].tolist() == [0, 0, 0]


def test_a_row_a_generation_counts_steps_of_training_only_and_the_search_improves():
    rows, seconds, _, strategy = run(generations=60)
    assert [row["generation"] for row in rows] == list(range(60)) and len(seconds) == 60
    assert rows[0]["env_steps"] == 8 * 2 * 10 and rows[3]["env_steps"] == 480 + 400
    assert ((strategy.mean - 1) ** 2).sum() < 1e-3
    assert rows[-1]["population_best"] >= rows[-1]["population_mean"] > rows[0]["population_best"]


class HardArena(FakeArena):
    """Tracks are worth less by their last digit, and driven well by candidates far to the left."""

    def drive(self, points, jobs, outcomes, on_done):
        self.calls.append((points, jobs))
        scores = [-(t % 10) * (100 + float(points[c][0])) for c, t in jobs]
        return [Outcome(c, t, score, 10, None) for (c, t), score in zip(jobs, scores)]


class Told(CMAES):
    """Remembers what it was told."""

    def tell(self, population, fitness):
        self.fitness = [*getattr(self, "fitness", []), fitness]
        super().tell(population, fitness)


def test_the_tracks_on_which_a_population_did_worst_are_driven_again_and_count():
    strategy = Told(np.zeros(3), 0.5, 8, np.random.default_rng(1))
    schedule = [phase(0, 6), phase(2, 4, hard=3)]
    rows, _, calls, _ = run(6, schedule=schedule, arena=HardArena(), strategy=strategy)
    driven = [[t for c, t in jobs if c == 0] for _, jobs in calls]
    assert [len(tracks) for tracks in driven] == [6, 6, 7, 7, 7, 7]
    for before, now in pairwise(driven[1:]):
        assert now[4:] == sorted(before, key=lambda track: -(track % 10))[:3]
    assert [row["tracks"] for row in rows] == [6, 6, 7, 7, 7, 7]
    worth = np.array([track % 10 for track in driven[5]])
    candidates = 100 + calls[5][0][:8, 0]
    np.testing.assert_allclose(strategy.fitness[5], -candidates * worth.mean())
    expected = -candidates.mean() * worth[:4].mean()
    assert rows[5]["population_mean"] == pytest.approx(expected)
    assert worth[:4].mean() != worth.mean()


def test_a_score_counts_by_how_far_it_is_from_the_median_of_its_track():
    scores = np.array([[900.0, 50.0], [901.0, 60.0], [899.0, 70.0], [200.0, 80.0], [905.0, 40.0]])
    np.testing.assert_array_equal(fitness(scores, None), scores.mean(axis=1))
    np.testing.assert_allclose(fitness(scores, 1e9), (scores - [900, 60]).mean(axis=1), atol=1e-3)
    shaped = fitness(scores[:, :1], 40.0)
    assert list(np.argsort(shaped)) == list(np.argsort(scores[:, 0]))
    assert shaped[1] == pytest.approx(1, abs=0.02) and shaped[1] == -shaped[2]
    assert shaped[3] == pytest.approx(-40 * np.log(1 + 700 / 40))
    easier = scores + np.array([0, 500])
    np.testing.assert_allclose(fitness(easier, 40.0), fitness(scores, 40.0))


def test_one_lost_car_decides_a_search_on_mean_scores_only():
    class LosesOne(FakeArena):
        """Candidate 0 loses one car of twelve, and is better on the other tracks."""

        def drive(self, points, jobs, outcomes, on_done):
            tracks = list(dict.fromkeys(track for _, track in jobs))
            places = [tracks.index(t) for _, t in jobs]
            usual = [900.0, 870.0, 869.0, 868.0, 0.0]
            scores = [0.0 if c == p == 0 else usual[c] for (c, _), p in zip(jobs, places)]
            return [Outcome(*job, score, 10, None) for job, score in zip(jobs, scores)]

    best = {}
    for compress_beyond in (None, 40.0):
        strategy = Told(np.zeros(3), 0.5, 4, np.random.default_rng(1))
        schedule = [phase(0, 12, compress_beyond=compress_beyond)]
        run(1, 0, 1, schedule, strategy, LosesOne())
        best[compress_beyond] = int(np.argmax(strategy.fitness[0]))
    assert best == {None: 1, 40.0: 0}


@pytest.mark.parametrize("optimiser", ["cma-es", "simple-es"])
def test_a_phase_with_a_sigma_begins_the_step_size_anew_at_the_mean_once(optimiser):
    rng = np.random.default_rng(1)
    strategy = CMAES(np.zeros(3), 0.5, 50, rng)
    if optimiser == "simple-es":
        config = SimpleESConfig(elite_share=0.25, sigma_decay=0.9)
        strategy = SimpleES(np.zeros(3), 0.5, 50, rng, config)
    schedule = [SCHEDULE[0], phase(3, 2, sigma=0.01)]
    rows, _, calls, _ = run(6, schedule=schedule, strategy=strategy, validate_every=1)
    assert rows[2]["sigma"] > 0.1 and rows[3]["sigma"] == 0.01
    if optimiser == "simple-es":
        assert rows[4]["sigma"] == pytest.approx(0.009)
    else:
        assert rows[4]["sigma"] != 0.01 and 0.005 < rows[4]["sigma"] < 0.02
    points = calls[3][0]
    assert 0.005 < (points[:50] - points[50]).std() < 0.02  # around the mean, the last point
    assert np.abs(points[50]).max() > 0.1


def test_a_restarted_strategy_has_nothing_left_of_what_it_learnt_but_the_mean():
    strategy = CMAES(np.zeros(3), 0.5, 20, np.random.default_rng(1))
    for _ in range(30):
        population = strategy.ask()
        strategy.tell(population, -((population * [1, 10, 100] - 1) ** 2).sum(axis=1))
    mean, scales = strategy.mean, np.linalg.svd(strategy.spread)[1]
    assert scales.max() > 3 * scales.min()
    strategy.restart(0.01)
    assert (strategy.mean == mean).all()
    np.testing.assert_allclose(np.linalg.svd(strategy.spread)[1], 0.01, rtol=1e-3)


def test_the_budget_in_steps_ends_the_search():
    rows, *_ = run(generations=100, env_steps=300)
    assert [row["env_steps"] for row in rows] == [160, 320]


def test_an_action_that_is_no_number_names_candidate_track_and_step():
    refuse_nan(np.zeros(3), 4, 77, 9)
    with pytest.raises(UserError, match="candidate 4 on track 77 at step 9"):
        refuse_nan(np.array([0, np.nan, 0]), 4, 77, 9)
