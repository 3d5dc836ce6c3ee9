"""The search of C: what drives which tracks, what is scored and what is kept."""

import numpy as np
import pytest

from tests.stopping import stop_and_resume
from worldmodels.driving.episodes import Drive, EpisodeResult, refuse_nonfinite
from worldmodels.evolution.strategies import CMAES, SimpleES, SimpleESConfig
from worldmodels.pipeline.errors import UserError
from worldmodels.real.by_evolution import Phase, Plan, search_by_es
from worldmodels.runtime.checkpoint import Checkpoint
from worldmodels.runtime.seeds import tracks_for_validation
from worldmodels.training.budget import Budget

SCHEDULE = [Phase(from_generation=0, tracks=2), Phase(from_generation=3, tracks=5)]


class FakeCandidates:
    """Scores a point by its distance from (1, 1, 1) and by the track, in two parts, and remembers
    who drove where."""

    seed = 1

    def __init__(self):
        self.calls = []

    def drive(self, points, drives, results, on_done):
        self.calls.append((points, drives))
        for first in (0, 1):
            for index in range(first, len(drives), 2):
                candidate, track = drives[index]
                score = fitness(points[candidate], track)
                results.setdefault(index, EpisodeResult(candidate, track, score, 10, None))
            on_done()
        return [results[index] for index in range(len(drives))]


def fitness(point, track):
    return -float(((point - 1) ** 2).sum()) - track % 10 / 1000


def run(generations=6, env_steps=0):
    plan = Plan(Budget(generations, env_steps), SCHEDULE)
    candidates, strategy = FakeCandidates(), CMAES(np.zeros(3), 0.5, 8, np.random.default_rng(1))
    held_out = tracks_for_validation(3)
    result = search_by_es(strategy, candidates, "first", plan, held_out, 2, Checkpoint(None))
    return result.rows, result.seconds, candidates.calls, strategy


def test_all_candidates_drive_the_same_tracks_and_new_ones_each_generation():
    _, _, calls, _ = run()
    seen = []
    for generation, (_, drives) in enumerate(calls):
        tracks = {c: [t for who, t in drives if who == c] for c in range(8)}
        assert len({tuple(driven) for driven in tracks.values()}) == 1
        assert len(tracks[0]) == (2 if generation < 3 else 5)
        seen += tracks[0]
    assert len(set(seen)) == len(seen)


def test_the_mean_of_the_distribution_is_what_is_validated():
    rows, _, calls, _ = run()
    for generation, (points, drives) in enumerate(calls):
        checks = [track for who, track in drives if who == 8]
        assert checks == (tracks_for_validation(3) if generation % 2 == 0 else [])
        if checks:
            expected = np.mean([fitness(points[8], track) for track in checks])
            assert rows[generation]["validation"] == pytest.approx(expected)
        else:
            assert rows[generation]["validation"] == ""
    assert calls[0][0][8].tolist() == [0, 0, 0]


def test_each_row_counts_steps_of_training_only_and_the_search_improves():
    rows, seconds, _, strategy = run(generations=60)
    assert [row["iteration"] for row in rows] == list(range(60)) and len(seconds) == 60
    assert [row["tracks"] for row in rows[:4]] == [2, 2, 2, 5]
    assert rows[0]["env_steps"] == 8 * 2 * 10 and rows[3]["env_steps"] == 480 + 400
    assert ((strategy.mean - 1) ** 2).sum() < 1e-3
    assert rows[-1]["return_best"] >= rows[-1]["return_mean"] > rows[0]["return_best"]


def test_the_search_ends_when_its_steps_are_used_up():
    rows, *_ = run(generations=100, env_steps=300)
    assert [row["env_steps"] for row in rows] == [160, 320]


def test_an_action_that_is_not_finite_names_candidate_track_and_step():
    refuse_nonfinite(np.zeros(3), Drive(4, 77), 9)
    with pytest.raises(UserError, match="candidate 4 on track 77 at step 9"):
        refuse_nonfinite(np.array([0, np.nan, 0]), Drive(4, 77), 9)


def search_for(checkpoint, generations, method, later=3):
    """`later`: how many tracks a candidate drives from generation 4 on."""
    phases = [Phase(from_generation=0, tracks=2), Phase(from_generation=4, tracks=later)]
    plan = Plan(Budget(generations, 0), phases)
    rng = np.random.default_rng(1)
    if method == "cma-es":
        strategy = CMAES(np.zeros(3), 0.5, 8, rng)
    else:
        strategy = SimpleES(
            np.zeros(3), 0.5, 8, rng, SimpleESConfig(elite_share=0.25, sigma_decay=0.99)
        )
    run = search_by_es(strategy, FakeCandidates(), "first", plan, [5, 6], 2, checkpoint)
    return run.rows, run.strategy.mean.tobytes(), run.strategy.sigma


@pytest.mark.parametrize("method", ["cma-es", "simple-es"])
def test_a_search_stopped_anywhere_and_resumed_equals_uninterrupted(tmp_path, method):
    expected = search_for(Checkpoint(None), 9, method)
    np.random.seed(123)  # the global generator must play no part
    stopped = stop_and_resume(tmp_path / "c", lambda c: search_for(c, 9, method), [0, 1, 4, 5, 2])
    assert stopped == expected


def test_more_generations_continue_the_search_and_fewer_start_from_scratch(tmp_path):
    with Checkpoint(tmp_path / "c", keep=True) as checkpoint:
        search_for(checkpoint, 4, "cma-es")
    with Checkpoint(tmp_path / "c", keep=True) as checkpoint:
        longer = search_for(checkpoint, 9, "cma-es")
        assert checkpoint.seconds_before > 0
    assert longer == search_for(Checkpoint(None), 9, "cma-es")
    with Checkpoint(tmp_path / "c", keep=True) as checkpoint:
        assert search_for(checkpoint, 3, "cma-es") == search_for(Checkpoint(None), 3, "cma-es")
        assert checkpoint.seconds_before == 0


@pytest.mark.parametrize("generations, resumes", [(3, True), (4, True), (6, False)])
def test_a_schedule_may_change_for_generations_not_reached_yet(tmp_path, generations, resumes):
    with Checkpoint(tmp_path / "c", keep=True) as checkpoint:
        search_for(checkpoint, generations, "cma-es")
    with Checkpoint(tmp_path / "c", keep=True) as checkpoint:
        other = search_for(checkpoint, 9, "cma-es", later=4)
        assert (checkpoint.seconds_before > 0) == resumes
    assert other == search_for(Checkpoint(None), 9, "cma-es", later=4)
    assert other != search_for(Checkpoint(None), 9, "cma-es")
