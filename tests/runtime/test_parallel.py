"""Workers that die, hang or fail are noticed."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from worldmodels.pipeline.errors import UserError
from worldmodels.runtime.parallel import deal, run_chunks, worker_count


def double(x, marker):
    return 2 * x


def die_once(x, marker):
    if x == 3 and not os.path.exists(marker):
        open(marker, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * x


def hang_once(x, marker):
    if x == 3 and not os.path.exists(marker):
        open(marker, "w").close()
        time.sleep(1000)
    return 2 * x


def always_die(x, marker):
    os.kill(os.getpid(), signal.SIGKILL)


def fail(x, marker):
    raise ValueError(f"episode {x} is broken")


def chunks(tmp_path):
    return [(x, str(tmp_path / "marker")) for x in range(6)]


def name(chunk):
    return f"episode {chunk[0]}"


def test_results_come_in_the_order_of_the_chunks(tmp_path):
    heard = []
    results = run_chunks(double, chunks(tmp_path), name, lambda i, r: heard.append((i, r)))
    assert results == [0, 2, 4, 6, 8, 10]
    assert sorted(heard) == list(enumerate(results))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "why"), [(die_once, "died"), (hang_once, "no worker finished")]
)
def test_lost_chunks_are_named_and_run_again(tmp_path, capfd, function, why):
    assert run_chunks(function, chunks(tmp_path), name, hangs_after=20) == [0, 2, 4, 6, 8, 10]
    said = capfd.readouterr().err
    assert why in said and "episode 3" in said


@pytest.mark.slow
def test_it_gives_up_after_three_attempts(tmp_path, monkeypatch):
    monkeypatch.setenv("WM_WORKERS", "1")
    with pytest.raises(UserError, match=r"3 times.*episode 0.*WM_WORKERS"):
        run_chunks(always_die, chunks(tmp_path)[:1], name)


def test_what_a_worker_raises_is_raised_here(tmp_path):
    with pytest.raises(ValueError, match="episode 0 is broken"):
        run_chunks(fail, chunks(tmp_path)[:1], name)


def test_number_of_workers_can_be_set_and_must_be_a_number(monkeypatch):
    monkeypatch.setenv("WM_WORKERS", "3")
    assert worker_count() == 3
    monkeypatch.delenv("WM_WORKERS")
    assert worker_count() == len(os.sched_getaffinity(0))
    for wrong in ("0", "two", "-1"):
        monkeypatch.setenv("WM_WORKERS", wrong)
        with pytest.raises(UserError, match="WM_WORKERS"):
            worker_count()


def test_every_item_is_dealt_once():
    hands = deal(list("abcdefg"), 3)
    assert sorted(item for hand in hands for item in hand) == list(range(7)) and len(hands) == 3
    assert deal([1], 4) == [[0]]


SCRIPT = """
import os, sys, time
from tests.runtime.test_parallel import linger
from worldmodels.runtime.parallel import run_chunks
run_chunks(linger, [(sys.argv[1], i) for i in range(2)], str)
"""


def linger(folder, number):
    open(os.path.join(folder, str(os.getpid())), "w").close()
    time.sleep(1000)


@pytest.mark.slow
def test_workers_end_when_their_parent_is_killed_outright(tmp_path, root):
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
