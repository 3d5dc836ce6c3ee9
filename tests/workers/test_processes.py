"""Workers that die, hang or fail are noticed."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from worldmodels.pipeline.errors import UserError
from worldmodels.runtime.cores import worker_count
from worldmodels.workers.jobs import split_evenly
from worldmodels.workers.processes import run_in_processes


@dataclass(frozen=True)
class Double:
    """Doubles a number; the subclasses have trouble with it."""

    number: int
    folder: Path

    def __str__(self):
        return f"episode {self.number}"

    def run(self):
        return 2 * self.number

    def first_time(self):
        """True once, and only for episode 3."""
        marker = self.folder / "marker"
        if self.number != 3 or marker.exists():
            return False
        marker.touch()
        return True


class DieOnce(Double):
    def run(self):
        if self.first_time():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().run()


class HangOnce(Double):
    def run(self):
        if self.first_time():
            time.sleep(1000)
        return super().run()


class AlwaysDie(Double):
    def run(self):
        os.kill(os.getpid(), signal.SIGKILL)


class Fail(Double):
    def run(self):
        raise ValueError(f"{self} is broken")


class Linger(Double):
    def run(self):
        (self.folder / str(os.getpid())).touch()
        time.sleep(1000)


@pytest.mark.slow
def test_results_come_in_the_order_of_the_jobs(tmp_path, monkeypatch):
    monkeypatch.setenv("WM_WORKERS", "2")
    heard = []
    jobs = [Double(number, tmp_path) for number in range(6)]
    results = run_in_processes(jobs, lambda index, result: heard.append((index, result)))
    assert results == [0, 2, 4, 6, 8, 10]
    assert sorted(heard) == list(enumerate(results))


@pytest.mark.slow
@pytest.mark.parametrize(("job", "why"), [(DieOnce, "died"), (HangOnce, "no worker finished")])
def test_lost_jobs_are_named_and_run_again(tmp_path, capfd, monkeypatch, job, why):
    monkeypatch.setenv("WM_WORKERS", "2")
    jobs = [job(number, tmp_path) for number in range(6)]
    assert run_in_processes(jobs, hangs_after=20) == [0, 2, 4, 6, 8, 10]
    said = capfd.readouterr().err
    assert why in said and "episode 3" in said


@pytest.mark.slow
def test_it_gives_up_after_three_attempts(tmp_path):
    with pytest.raises(UserError, match=r"after 3 attempts.*episode 0.*WM_WORKERS"):
        run_in_processes([AlwaysDie(0, tmp_path)])


def test_an_exception_of_a_worker_is_raised_by_run_in_processes(tmp_path):
    with pytest.raises(ValueError, match="episode 0 is broken"):
        run_in_processes([Fail(0, tmp_path)])


def test_a_wrong_setting_of_the_time_to_hang_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("WM_HANGS_AFTER", "soon")
    with pytest.raises(UserError, match="WM_HANGS_AFTER is 'soon'"):
        run_in_processes([Double(0, tmp_path)])


def test_every_item_is_in_one_part():
    parts = split_evenly(list("abcdefg"), 3)
    assert sorted(item for part in parts for item in part) == list(range(7)) and len(parts) == 3
    assert split_evenly([1], 4) == [[0]]


SCRIPT = """
import sys
from pathlib import Path
from tests.workers.test_processes import Linger
from worldmodels.workers.processes import run_in_processes
run_in_processes([Linger(number, Path(sys.argv[1])) for number in range(2)])
"""


@pytest.mark.slow
def test_workers_end_when_their_parent_is_killed(tmp_path, root, monkeypatch):
    monkeypatch.setenv("WM_WORKERS", "2")
    parent = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path)], cwd=root)
    while len(list(tmp_path.iterdir())) < min(2, worker_count()):
        time.sleep(0.1)
    parent.kill()
    parent.wait()
    workers = [int(path.name) for path in tmp_path.iterdir()]
    until = time.monotonic() + 30
    while any(psutil.pid_exists(pid) for pid in workers) and time.monotonic() < until:
        time.sleep(0.2)
    assert not [pid for pid in workers if psutil.pid_exists(pid)]


@dataclass(frozen=True)
class ProcessId(Double):
    """The id of the process that runs it."""

    def run(self):
        return os.getpid()


def test_no_more_workers_than_jobs_and_none_is_started_twice(tmp_path, monkeypatch):
    monkeypatch.setenv("WM_WORKERS", "2")
    script = """
import sys
from pathlib import Path
from tests.workers.test_processes import ProcessId
from worldmodels.workers.processes import run_in_processes

def workers(jobs):
    return set(run_in_processes([ProcessId(number, Path()) for number in range(jobs)]))

first = workers(1)
both = workers(20)
assert len(first) == 1 and len(both) <= 2 and first <= both | workers(20), (first, both)
assert workers(1) <= both | first  # the pool has not shrunk and grown again
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
