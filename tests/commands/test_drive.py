"""Driving a track of one's choice, and all that can go wrong with it."""

import os
import signal
import subprocess
import sys
import time

import pygame
import pytest
import yaml

from commands import drive
from tests.agents import make_agent
from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.params import PARAMS, read_yaml

COMMAND = [sys.executable, "-m", "commands.drive", "--agent", "agent.safetensors", "--seed", "5"]


@pytest.fixture
def folder(root, tmp_path):
    """A folder with params and a small agent; its episodes have 20 steps."""
    tree = read_yaml(root / PARAMS)
    tree["evaluate"]["horizon"] = 20
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tree))
    make_agent(candidates=1).save(tmp_path / "agent.safetensors")
    return tmp_path


def environment(root, **more):
    env = os.environ | {"PYTHONPATH": str(root)} | more
    env.pop("HOME", None)
    return env


@pytest.mark.slow
def test_a_track_is_driven_and_filmed_without_a_home(root, folder):
    done = subprocess.run(
        COMMAND, cwd=folder, env=environment(root), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "on track 5: score" in done.stdout and "in 20 steps" in done.stdout
    assert [path.name for path in folder.glob("drives/*")] == ["track-5.mp4"]
    assert not (folder / "~").exists()


@pytest.mark.slow
def test_ctrl_c_ends_it_with_one_line_and_leaves_no_file(root, folder):
    tree = read_yaml(folder / "params.yaml")
    tree["evaluate"]["horizon"] = 1_000_000
    (folder / "params.yaml").write_text(yaml.safe_dump(tree))
    running = subprocess.Popen(
        COMMAND, cwd=folder, env=environment(root), stderr=subprocess.PIPE, text=True
    )
    stop = time.monotonic() + 120
    while not [*folder.glob("drives/.part.*")] and time.monotonic() < stop:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 1 and said.splitlines()[-1] == "drive: interrupted"
    assert "Traceback" not in said and not [*folder.glob("drives/*")]


def test_nothing_slow_is_imported_before_ctrl_c_ends_it_with_one_line(root):
    code = "import sys, commands.drive; sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True, timeout=60)


@pytest.mark.parametrize("text", ["-1", "1e3", "seven", "", "1.5"])
def test_a_seed_that_is_not_a_whole_number_is_refused(text):
    with pytest.raises(UserError, match="is a whole number, 0 or more"):
        drive.parse_track(text)


def test_a_seed_may_be_large():
    assert drive.parse_track("100000000000000000000") == 10**20


@pytest.mark.parametrize("driver", ["offscreen", "dummy", "none of SDL's"])
def test_watching_without_a_display_is_refused(monkeypatch, driver):
    monkeypatch.setenv("SDL_VIDEODRIVER", driver)
    pygame.display.quit()
    with pytest.raises(UserError, match="no window can be shown here"):
        drive.require_display()
    assert not pygame.display.get_init()
