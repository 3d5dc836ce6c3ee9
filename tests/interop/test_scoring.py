"""Anybody's policy on the official test tracks."""

import json
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass

import gymnasium
import numpy as np
import pytest

from tests.agents import make_agent
from worldmodels.interop import scoring
from worldmodels.interop.scoring import drive, histogram, make_policy, score
from worldmodels.pipeline.errors import UserError
from worldmodels.runtime.seeds import TEST, TEST_TRACKS


@dataclass
class Careful:
    """Turns left a little, at more than half gas, and soon leaves the track."""

    steps: int = 0

    def reset(self):
        self.steps = 0

    def act(self, observation):
        assert observation.shape == (96, 96, 3) and observation.dtype == np.uint8
        self.steps += 1
        return np.array([0.05, 0.6, 0.0])


class Broken(Careful):
    def act(self, observation):
        return np.array([0.0, np.nan, 0.0])


@pytest.mark.slow
def test_a_policy_drives_each_test_track_once_and_to_its_end():
    found = score(Careful(), count=3, first=7)
    assert found.tracks == [TEST + 7, TEST + 8, TEST + 9]
    assert found.returns.shape == found.steps.shape == (3,)
    assert found.summary["mean"] == pytest.approx(found.returns.mean())
    assert found.summary["episodes"] == 3 and (found.steps > 50).all()
    again = score(Careful(), count=2, first=8)
    assert again.returns.tolist() == found.returns[1:].tolist()


def test_an_action_that_is_not_finite_is_named():
    with pytest.raises(UserError, match=rf"action at step 0 of track {TEST} is \[ *0\. nan"):
        score(Broken(), count=1, first=0)


@pytest.mark.parametrize("action", ["left", [[0.0], [1.0, 2.0]], None, [0.0, 1.0]])
def test_an_action_that_is_not_three_numbers_is_named(action):
    policy = Careful()
    policy.act = lambda _: action
    with (
        closing(gymnasium.make("CarRacing-v3")) as env,
        pytest.raises(UserError, match="action at step 0 of track 7"),
    ):
        drive(policy, env, 7)


@pytest.mark.parametrize(("count", "first"), [(0, 0), (1, -1), (2, TEST_TRACKS - 1)])
def test_tracks_beyond_those_for_tests_are_refused(count, first):
    with pytest.raises(UserError, match=f"there are {TEST_TRACKS:,}"):
        score(Careful(), count, first)


def test_the_histogram_counts_every_return_once():
    lines = histogram(np.array([-20.0, 0.0, 49.9, 50.0, 210.0])).splitlines()
    assert [int(line.split()[3]) for line in lines] == [1, 2, 1, 0, 0, 1]
    assert lines[0].split()[:3] == ["-50", "to", "0"] and lines[-1].split()[0] == "200"


def test_a_policy_is_made_from_a_function_or_an_agent_file(tmp_path):
    assert isinstance(make_policy("tests.interop.test_scoring:Careful"), Careful)
    make_agent(candidates=1).save(path := tmp_path / "agent.safetensors")
    assert callable(make_policy(str(path)).act)
    for name, why in [
        ("nothing", "give module:function"),
        ("tests.no_such:f", "No module named"),
        ("tests.agents:no_such", "no attribute"),
        ("builtins:dict", "has no reset"),
        (":make", "give module:function"),
        (".tests:make", "give module:function"),
        ("tests.agents:PRIVILEGED", "not a function"),
        (str(tmp_path / "none.safetensors"), "none.safetensors"),
    ]:
        with pytest.raises(UserError, match=why):
            make_policy(name)


@pytest.mark.slow
def test_the_command_prints_and_writes_the_scores(tmp_path, root):
    out = tmp_path / "scores.json"
    command = [sys.executable, "-m", scoring.__name__, "tests.interop.test_scoring:Careful"]
    command += ["--tracks", "2", "--out", str(out)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    written = json.loads(out.read_text())
    assert f"{written['mean']:.1f} (" in done.stdout and "2 official test tracks" in done.stdout
    assert [drive["track"] for drive in written["drives"]] == [TEST + 3000, TEST + 3001]
    command[3] = "nothing"
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("score: 'nothing'")
