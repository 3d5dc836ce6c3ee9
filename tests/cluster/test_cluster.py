"""A Dask cluster gives the bytes of this machine, also while it loses parts and wins others."""

import pickle

import numpy as np
import pytest

from tests.agents import make_agent
from tests.cluster.conftest import kill, until_admitted
from tests.cluster.jobs import Fail, Read, Sum, Work
from worldmodels.control.search_space import raw_space
from worldmodels.driving.limits import Limits
from worldmodels.evolution.strategies import CMAES
from worldmodels.real.by_evolution import Phase, Plan, search_by_es
from worldmodels.runtime.checkpoint import Checkpoint
from worldmodels.runtime.seeds import tracks_for_validation
from worldmodels.training.budget import Budget
from worldmodels.training.candidates import Candidates
from worldmodels.workers import cluster, connection
from worldmodels.workers.run import run_jobs, workers_at_hand

GENERATIONS = 4


def search() -> bytes:
    """All that a small search on the real track leaves, as bytes."""
    agent = make_agent(candidates=1)
    space = raw_space(0, agent.config.features)
    strategy = CMAES(np.zeros(len(space.unfold(np.zeros((1, 75)))[0])), 0.5, 8, rng())
    candidates = Candidates(agent, space, Limits(120, 0), seed=1, device="cpu")
    plan = Plan(Budget(GENERATIONS, 0), [Phase(from_generation=0, tracks=3)])
    held_out = tracks_for_validation(3)
    state = search_by_es(strategy, candidates, "first", plan, held_out, 2, Checkpoint(None))
    return pickle.dumps((state.rows, state.strategy.mean.tobytes()))


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


@pytest.fixture(scope="module")
def on_this_machine():
    """The bytes of the search with one process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WM_WORKERS", "1")
        patch.delenv("WM_CLUSTER", raising=False)
        return search()


def test_two_processes_give_the_same_bytes_as_one(on_this_machine, monkeypatch):
    monkeypatch.setenv("WM_WORKERS", "2")
    assert search() == on_this_machine


def test_two_workers_give_the_same_bytes(local, on_this_machine):
    local.start_worker()
    local.start_worker()
    until_admitted(local, 2)
    assert search() == on_this_machine


def test_the_same_bytes_while_a_worker_is_killed_and_another_joins(
    local, on_this_machine, monkeypatch
):
    local.start_worker()
    doomed = local.start_worker()
    until_admitted(local, 2)
    generations = []
    submit = connection.Connection._submit

    def then_lose_one(self, indices, jobs, done):
        futures = submit(self, indices, jobs, done)
        generations.append(len(indices))
        if len(generations) == 2:
            assert len(indices) >= 2
            kill(doomed)
            local.start_worker()
        return futures

    monkeypatch.setattr(connection.Connection, "_submit", then_lose_one)
    assert search() == on_this_machine
    assert len(generations) == GENERATIONS


def test_jobs_are_cut_for_the_workers_of_the_cluster(local):
    assert workers_at_hand() == 1  # those that join later need a job, too
    local.start_worker()
    local.start_worker()
    until_admitted(local, 2)
    assert [workers_at_hand(), workers_at_hand(1), workers_at_hand(5)] == [2, 1, 2]


def test_results_come_in_order_and_each_is_heard_of_once(local, tmp_path):
    local.start_worker()
    local.start_worker()
    until_admitted(local, 2)
    heard = []
    jobs = [Work(number, tmp_path) for number in range(8)]
    results = run_jobs(jobs, lambda index, result: heard.append((index, result)))
    assert results == [2 * number for number in range(8)]
    assert sorted(heard) == list(enumerate(results))


def test_a_worker_runs_one_job_at_a_time_whatever_its_threads(local, tmp_path):
    local.start_worker("--nthreads", "4")
    run_jobs([Work(number, tmp_path, seconds=0.2) for number in range(5)])
    starts = sorted(int(path.name.split("-")[-1]) for path in tmp_path.glob("ran-*"))
    assert len(starts) == 5 and min(np.diff(starts)) > 0.2e9


def test_large_arrays_travel_once_and_jobs_do_not_share_them(local, monkeypatch):
    local.start_worker()
    array, sent = np.arange(100_000.0), []
    until_admitted(local, 1)
    client = cluster.connect(local.address).client
    submit = client.submit

    def listen(function, *values, **options):
        sent.append(sum(len(value) for value in values if isinstance(value, bytes)))
        return submit(function, *values, **options)

    monkeypatch.setattr(client, "submit", listen)
    for _ in range(2):
        expected = [float(array.sum()) + number for number in range(4)]
        assert run_jobs([Sum(number, array.copy()) for number in range(4)]) == expected
    large = [size for size in sent if size >= array.nbytes]
    assert len(large) == 1 and len(sent) == 1 + 2 * 4
    assert sum(sent) < array.nbytes + 10_000


def test_an_exception_of_a_job_is_raised_here(local, tmp_path):
    local.start_worker()
    with pytest.raises(ValueError, match="episode 3 is broken"):
        run_jobs([Fail(3, tmp_path)])


def test_a_job_that_fails_to_read_is_no_lost_scheduler(local, tmp_path):
    local.start_worker()
    with pytest.raises(FileNotFoundError, match="no-such-file"):
        run_jobs([Read(3, tmp_path)])
    assert run_jobs([Work(1, tmp_path)]) == [2]  # by the same connection
