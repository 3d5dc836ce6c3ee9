"""Statistics of returns, and the tracks and random numbers of each purpose."""

import numpy as np
import pytest

from stages.evaluate import compare_pictures
from worldmodels.driving.episodes import EpisodeResult
from worldmodels.reports.statistics import interquartile_mean, summarise
from worldmodels.runtime.seeds import (
    generator,
    torch_generator,
    tracks_for_test,
    tracks_for_training,
    tracks_for_validation,
)


def test_summary_of_known_returns_is_exact():
    returns = np.array([0.0, 1, 2, 3, 4, 5, 6, 99])
    summary = summarise(returns, 10_000, np.random.default_rng(1))
    assert summary["mean"] == 15 and summary["iqm"] == 3.5
    assert (summary["min"], summary["max"], summary["episodes"]) == (0, 99, 8)
    assert summary["std"] == pytest.approx(returns.std(ddof=1))
    assert summary["sem"] == pytest.approx(summary["std"] / 8**0.5)


def test_bootstrap_interval_covers_the_mean_in_about_95_percent_of_samples():
    rng, covered = np.random.default_rng(1), 0
    for _ in range(200):
        summary = summarise(rng.normal(900, 60, 50), 10_000, rng)
        covered += summary["ci_low"] <= 900 <= summary["ci_high"]
    assert 0.88 <= covered / 200 <= 0.99


def test_iqm_ignores_the_extremes():
    assert interquartile_mean(np.array([-1e9, 1.0, 2.0, 1e9])) == 1.5


def test_std_of_a_single_return_is_zero():
    assert summarise(np.array([5.0]), 100, np.random.default_rng(1))["std"] == 0


def test_test_validation_and_training_share_no_tracks():
    test, validation = set(tracks_for_test(10_000)), set(tracks_for_validation(10_000))
    training = set(tracks_for_training(10_000, 1, ("a",)))
    assert not test & validation and min(training) > max(test | validation)


def test_every_purpose_has_its_own_tracks_and_random_numbers():
    assert tracks_for_training(5, 1, ("a", 3)) == tracks_for_training(9, 1, ("a", 3))[:5]
    assert tracks_for_training(5, 1, ("a", 3)) != tracks_for_training(5, 1, ("a", 4))
    assert tracks_for_training(5, 1, ("a",)) != tracks_for_training(5, 2, ("a",))
    assert generator(1, "a").integers(1 << 40) != generator(1, "b").integers(1 << 40)
    a, b = torch_generator(1, "a"), torch_generator(1, "b")
    assert a.initial_seed() != b.initial_seed()


def test_the_first_tracks_of_seed_one_are_these():
    assert tracks_for_training(2, 1, ("explore", "first")) == [2109906541, 1584637492]


def test_scores_with_both_pictures_are_compared_on_shared_tracks():
    def results(first, scores):
        return {
            first + i: EpisodeResult(0, first + i, score, 9, None)
            for i, score in enumerate(scores)
        }

    found = compare_pictures(results(10, [5.0, 8, 11]), results(11, [6.0, 10, 100]))
    assert found["drawn_episodes"] == 3 and found["difference_episodes"] == 2
    assert found["difference_mean"] == ((8 - 6) + (11 - 10)) / 2
    assert found["difference_sem"] == pytest.approx(0.5)
