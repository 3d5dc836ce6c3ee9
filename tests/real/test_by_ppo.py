"""PPO on the real track: its schedules, its budget, and a training that can be resumed."""

import numpy as np
import pytest
from pydantic import ValidationError

from tests.agents import LEARNING, PRIVILEGED, make_agent
from worldmodels.control.search_space import raw_space
from worldmodels.driving.limits import Limits
from worldmodels.real import by_ppo as train_module
from worldmodels.real.by_ppo import PPOConfig, PracticeSetup, train_by_ppo
from worldmodels.runtime.checkpoint import Checkpoint
from worldmodels.training.budget import Budget
from worldmodels.workers.processes import run_in_processes

FEATURES = 8 + 16  # of make_agent
CONFIG = PPOConfig(
    **LEARNING,
    hidden_components=4,
    envs=3,
    tracks=2,
    steps=12,
    hold=4,
    noise=[0.4, 0.1],
    discount=[0.9, 0.99],
    lost_cost=[10.0, 20.0],
    missed_cost=[1.0, 2.0],
    replay_share=0.5,
    replay_tracks=4,
    averaged_actors=2,
    privileged=PRIVILEGED,
)


def test_the_discount_rises_with_the_share_of_the_budget():
    found = [CONFIG.rules_at(share, Limits(30, 10)).discount for share in (0, 0.5, 1)]
    assert found == pytest.approx([0.9, 1 - 0.1 / 10**0.5, 0.99])


class Validations(list):
    """Scores every point alike, and keeps it."""

    def __call__(self, point):
        self.append(point)
        return 1.0


def train(updates=4, env_steps=0, checkpoint=None, config=CONFIG, seen=None):
    space = raw_space(0, FEATURES)
    run = 1, "first", "cpu"
    setup = PracticeSetup(config, Limits(30, 10), make_agent(), space, FEATURES, None, *run)
    validate = Validations() if seen is None else seen
    budget = Budget(updates, env_steps)
    return train_by_ppo(setup, budget, validate, 2, checkpoint or Checkpoint(None))


def test_stopped_and_resumed_equals_uninterrupted(tmp_path, monkeypatch):
    seen = Validations()
    at_once = train(seen=seen)
    assert at_once.env_steps == 4 * 12 * 3 and len(at_once.rows) == 4
    assert [row["validation"] for row in at_once.rows] == [1.0, "", 1.0, ""]
    assert len(seen) == 2 and not seen[0].any() and seen[1].any()

    calls = []

    def stop_at_third(jobs):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return run_in_processes(jobs)

    monkeypatch.setattr(train_module, "run_in_processes", stop_at_third)
    monkeypatch.setattr("worldmodels.runtime.checkpoint.SECONDS_BETWEEN", 0)
    with pytest.raises(KeyboardInterrupt), Checkpoint(tmp_path) as checkpoint:
        train(checkpoint=checkpoint)
    with Checkpoint(tmp_path) as checkpoint:
        resumed = train(checkpoint=checkpoint)
    assert len(calls) == 5  # two updates before, two after
    assert np.array_equal(resumed.point(), at_once.point())
    assert resumed.rows == at_once.rows


@pytest.mark.slow
def test_same_result_for_any_worker_count(monkeypatch):
    config = CONFIG.model_copy(update={"envs": 34})  # two groups
    points = []
    for workers in "1", "2":
        monkeypatch.setenv("WM_WORKERS", workers)
        points.append(train(updates=2, config=config).point())
    assert np.array_equal(*points) and points[0].any()


def test_the_result_is_the_mean_of_the_last_actors():
    training = train(updates=5)
    assert len(training.actors) == 2 and (training.actors[0] != training.actors[1]).any()
    assert np.array_equal(training.actors[1], training.learner.actor.point())
    np.testing.assert_allclose(training.point(), (training.actors[0] + training.actors[1]) / 2)


def test_the_untrained_actor_is_not_part_of_the_mean():
    training = train(updates=1)
    assert np.array_equal(training.point(), training.learner.actor.point())
    assert training.point().any()


def test_another_number_of_updates_starts_from_scratch(tmp_path):
    with Checkpoint(tmp_path, keep=True) as checkpoint:
        train(updates=2, checkpoint=checkpoint)
    with Checkpoint(tmp_path, keep=True) as checkpoint:
        assert train(updates=3, checkpoint=checkpoint).rows == train(updates=3).rows


def test_training_stops_when_its_environment_steps_are_used_up():
    assert [row["env_steps"] for row in train(env_steps=50).rows] == [36, 72]


def test_noise_and_prices_go_from_their_first_to_their_second_value(monkeypatch):
    rules = []

    def listen(jobs):
        rules.extend(job.rules for job in jobs)
        return run_in_processes(jobs)

    monkeypatch.setattr(train_module, "run_in_processes", listen)
    rows = train(updates=2).rows
    assert [row["exploration_std"] for row in rows] == [rule.noise for rule in rules] == [0.4, 0.1]
    assert [rule.lost_cost for rule in rules] == pytest.approx([10, 20])
    assert [rule.missed_cost for rule in rules] == pytest.approx([1, 2])


def test_noise_reaches_its_second_value_within_the_environment_steps():
    assert [row["exploration_std"] for row in train(updates=100, env_steps=72).rows] == [0.4, 0.2]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"envs": 34, "tracks": 1}, "tracks is 1, but the cars drive in 2 groups"),
        ({"hold": 5}, "steps is 12, not a multiple of hold, 5"),
        ({"discount": [0.99, 1.0]}, "less than 1"),
    ],
)
def test_params_that_do_not_fit_together_are_refused(changes, said):
    with pytest.raises(ValidationError, match=said):
        PPOConfig(**CONFIG.model_dump() | changes)
