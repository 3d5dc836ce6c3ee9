"""Workers that are refused, and what a run says and does when parts of the cluster are lost."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import distributed
import pytest

from benchmarks.loopback import ROOT
from tests.agents import make_agent
from tests.cluster.conftest import kill, until, until_admitted
from tests.cluster.jobs import Kill, Work
from worldmodels.driving.jobs import DriveJob
from worldmodels.driving.limits import Limits
from worldmodels.pipeline.errors import UserError
from worldmodels.workers import cluster, connection
from worldmodels.workers.admission import identity
from worldmodels.workers.run import run_jobs


def test_jobs_that_compute_on_an_accelerator_are_refused(local):
    job = DriveJob(make_agent(candidates=1), (), "drawn", Limits(1, 0), seed=1, device="cuda")
    with pytest.raises(UserError, match=r"machine.device is 'cuda', but the workers of a cluster"):
        run_jobs([job])


def test_a_worker_that_dies_at_the_gate_ends_no_run(local, tmp_path, monkeypatch, said):
    worker = local.start_worker()
    with distributed.Client(local.address, set_as_default=False) as client:
        until(lambda: len(client.scheduler_info()["workers"]) == 1)
    os.kill(worker.pid, signal.SIGSTOP)  # it answers nothing, as if it drove the reference drive
    found = []
    thread = threading.Thread(target=lambda: found.append(run_jobs([Work(1, tmp_path)])))
    thread.start()
    time.sleep(3)
    kill(worker)
    local.start_worker()
    thread.join(120)
    assert found == [[2]]


def test_a_worker_with_other_code_is_refused_by_name(local, tmp_path, said, monkeypatch):
    monkeypatch.setenv("WM_CLUSTER_WAIT", "1")
    other = tmp_path / "other"
    for name in ("worldmodels", "tests"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, other / name, ignore=ignored)
    with (other / "worldmodels/control/controller.py").open("a") as file:
        file.write("\n# another line\n")
    local.start_worker(code=other)
    cluster.connect(local.address)
    until(lambda: "is refused: other code in worldmodels" in said())
    with pytest.raises(UserError, match=r"no workers for 1 s; tcp://.* was refused: other code"):
        run_jobs([Work(1, tmp_path)])
    local.start_worker()
    monkeypatch.setenv("WM_CLUSTER_WAIT", "90")
    assert run_jobs([Work(1, tmp_path)]) == [2]


def test_a_worker_without_the_package_is_refused_by_name(local, tmp_path, said):
    local.start_worker(code=tmp_path)
    cluster.connect(local.address)
    until(lambda: "is refused" in said())
    assert "No module named 'worldmodels'" in said() and "copy of this repository" in said()


def test_a_worker_whose_processor_gives_other_bits_is_refused_by_name(local, monkeypatch, said):
    mine = identity()
    bits = mine.bits | {"float32": "0" * 64}
    monkeypatch.setattr(connection, "identity", lambda: type(mine)(**{**vars(mine), "bits": bits}))
    local.start_worker()
    cluster.connect(local.address)
    until(lambda: "computes other bits in float32: set machine.portable" in said())
    assert cluster.cluster_size(local.address) == 0


def test_a_wrong_address_is_named_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(cluster, "FIRST_CONTACT", 1.0)
    for address in ("tcp://127.0.0.1:1", "nowhere://x", "tcp://no.such.host.example:8786"):
        monkeypatch.setenv("WM_CLUSTER", address)
        with pytest.raises(UserError, match=f"WM_CLUSTER is '{address}'") as raised:
            run_jobs([Work(1, tmp_path)])
        assert "\n" not in str(raised.value)


def test_jobs_run_again_when_the_scheduler_comes_back(local, tmp_path, said):
    local.start_worker()
    until_admitted(local, 1)
    jobs, found = [Work(number, tmp_path, seconds=1.0) for number in range(6)], []
    thread = threading.Thread(target=lambda: found.append(run_jobs(jobs)))
    thread.start()
    until(lambda: len(list(tmp_path.glob("ran-*"))) >= 2)
    kill(local.processes[0])
    time.sleep(2)
    local.start_scheduler()
    local.start_worker()
    thread.join(120)
    assert found == [[0, 2, 4, 6, 8, 10]]
    assert "lost the scheduler at" in said() and "of 6 jobs are lost" in said()


def test_a_scheduler_that_stays_away_ends_the_run_with_one_line(local, tmp_path, monkeypatch):
    monkeypatch.setenv("WM_CLUSTER_WAIT", "3")
    local.start_worker()
    until_admitted(local, 1)
    raised = []

    def run():
        try:
            run_jobs([Work(number, tmp_path, seconds=1.0) for number in range(6)])
        except UserError as error:
            raised.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    until(lambda: bool(list(tmp_path.glob("ran-*"))))
    kill(local.processes[0])
    thread.join(60)
    assert len(raised) == 1 and "no Dask scheduler answers there" in raised[0]
    assert "Nothing that a checkpoint holds is lost" in raised[0] and "\n" not in raised[0]


def test_a_run_goes_on_when_workers_come_back(local, tmp_path, said):
    worker = local.start_worker()
    until_admitted(local, 1)
    jobs, found = [Work(number, tmp_path, seconds=0.5) for number in range(6)], []
    thread = threading.Thread(target=lambda: found.append(run_jobs(jobs)))
    thread.start()
    until(lambda: len(list(tmp_path.glob("ran-*"))) >= 2)
    kill(worker)
    until(lambda: "no workers at" in said())
    local.start_worker()
    thread.join(90)
    assert found == [[0, 2, 4, 6, 8, 10]]
    assert "is gone; what it ran runs on another" in said()


def test_a_worker_without_room_for_a_job_is_named(local, tmp_path, monkeypatch):
    monkeypatch.setenv("WM_CLUSTER_WAIT", "3")
    local.start_worker("--memory-limit", "300MB")  # it fills that by itself
    until(lambda: bool(paused(local)))
    with pytest.raises(UserError, match=r"no workers for 3 s; tcp://.* is paused"):
        run_jobs([Work(1, tmp_path)])


def test_a_job_that_kills_the_only_worker_again_and_again_ends_the_run(local, tmp_path):
    local.start_worker(nanny=True)
    with pytest.raises(UserError, match=r"^episode 7: the workers that ran it died, 3 times"):
        run_jobs([Kill(7, tmp_path)])
    assert len(list(tmp_path.glob("ran-7-*"))) == 3


def test_a_job_that_kills_one_worker_after_the_other_ends_the_run(local, tmp_path):
    kill(local.processes[0])
    local.start_scheduler(DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="1")
    for _ in range(3):
        local.start_worker()
    until_admitted(local, 3)
    with pytest.raises(UserError, match=r"^episode 7: the workers that ran it died, 2 times"):
        run_jobs([Kill(7, tmp_path)])


def paused(local) -> list[str]:
    """The paused workers."""
    return sorted(cluster.connect(local.address).workers().paused)


def test_without_dask_the_message_says_what_to_install(monkeypatch):
    script = (
        "import sys; sys.modules['distributed'] = None\n"
        "from worldmodels.pipeline.errors import UserError\n"
        "from worldmodels.workers.run import run_jobs\n"
        "try: run_jobs([])\n"
        "except UserError as error: print(error)\n"
    )
    monkeypatch.setenv("WM_CLUSTER", "tcp://127.0.0.1:8786")
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert (
        "pip install -r requirements-cluster.txt" in done.stdout and done.stdout.count("\n") == 1
    )
