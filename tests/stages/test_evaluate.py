"""The scores of an agent do not depend on which job ends first."""

from types import SimpleNamespace

import pytest

from stages import evaluate
from tests.agents import make_agent
from worldmodels.driving.episodes import EpisodeResult
from worldmodels.runtime.checkpoint import Checkpoint
from worldmodels.runtime.seeds import tracks_for_test

TRACKS = 12


def result_of(track: int) -> EpisodeResult:
    return EpisodeResult(candidate=0, track=track, score=track * 0.1, steps=1, episode=None)


@pytest.mark.parametrize("order", [1, -1])
def test_results_are_in_the_order_of_tracks(monkeypatch, order):
    def run_jobs(jobs, on_done):
        for index in list(range(len(jobs)))[::order]:
            on_done(index, [result_of(drive.track) for drive in jobs[index].drives])

    monkeypatch.setattr(evaluate, "run_jobs", run_jobs)
    monkeypatch.setenv("WM_WORKERS", "3")
    params = SimpleNamespace(
        seed=1,
        machine=SimpleNamespace(device="cpu"),
        evaluate=SimpleNamespace(first_test_track=5, horizon=10),
        round=SimpleNamespace(test_tracks=TRACKS, drawn_tracks=TRACKS),
    )
    scores = evaluate.score(make_agent(1), params, Checkpoint(None))
    for results in scores.values():
        assert list(results) == tracks_for_test(TRACKS, 5)
        assert all(track == result.track for track, result in results.items())
