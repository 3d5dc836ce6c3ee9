"""A stage that is interrupted, and a second run while one is under way."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

import psutil
import pytest

from tests.stages.folders import dvc, environment, say, set_param

pytestmark = pytest.mark.slow(seconds=30)


def test_a_second_repro_names_the_one_that_is_running(tracked):
    command = [sys.executable, "-m", "dvc", "repro", "--force", "--single-item", "sample@first"]
    first = subprocess.Popen(command, cwd=tracked, stdout=subprocess.PIPE, text=True)
    for line in first.stdout:
        if "Running stage" in line:
            break
    second = say(tracked, *command)
    first.communicate(timeout=300)
    assert second.returncode != 0 and "busy" in second.stderr and str(first.pid) in second.stderr
    assert first.returncode == 0
    assert "up to date" in dvc(tracked, "status").stdout


def test_ctrl_c_ends_a_stage_and_its_workers_and_the_next_run_continues(copy):
    set_param(copy, "rounds.first.iterations", 8)
    shutil.rmtree(copy / ".checkpoints")  # of the search that the copy has behind it
    command = [sys.executable, "-m", "stages.train_controller_by_evolution_in_real", "first"]
    running = subprocess.Popen(
        command,
        cwd=copy,
        env=environment(WM_CHECKPOINT_SECONDS="0", WM_WORKERS="2"),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until(lambda: [*copy.glob(".checkpoints/train_controller/first/*/state")])
    os.killpg(running.pid, signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 1 and "Traceback" not in said, said
    # On a busy machine loky's resource tracker, a process of its own, may warn after that
    assert "train_controller@first: interrupted" in said.splitlines()
    until(lambda: not workers_of(running.pid))
    again = say(copy, *command)
    assert again.returncode == 0 and "continues from its checkpoint" in again.stderr


def until(condition, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def workers_of(group: int) -> list[int]:
    found = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found
