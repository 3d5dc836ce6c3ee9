"""The budget of C's training, and the share of it that is used."""

import pytest

from worldmodels.training.budget import Budget


@pytest.mark.parametrize(
    ("budget", "done", "over"),
    [
        (Budget(5, 0), (4, 10**9), False),
        (Budget(5, 0), (5, 0), True),
        (Budget(5, 100), (1, 99), False),
        (Budget(5, 100), (1, 100), True),
    ],
)
def test_training_is_over_when_iterations_or_steps_are_used_up(budget, done, over):
    assert budget.is_over(*done) == over


def test_the_share_runs_from_the_first_to_the_last_iteration():
    assert [Budget(5, 0).share(done, 0) for done in range(5)] == [0, 0.25, 0.5, 0.75, 1]
    assert Budget(1, 0).share(0, 0) == 0


def test_the_share_follows_the_steps_if_they_end_first():
    assert [Budget(101, 50).share(done, 10 * done) for done in range(5)] == [0, 0.2, 0.4, 0.6, 0.8]
    assert Budget(101, 50).share(1, 80) == 1
