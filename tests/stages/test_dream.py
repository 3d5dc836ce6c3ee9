"""A round that learnt in the dream: what it leaves, and its film."""

import re
import shutil
import sys

import numpy as np
import pytest
import yaml

from tests.stages.folders import say
from worldmodels.dream.model import load_dream_model
from worldmodels.pipeline.storage import read_csv
from worldmodels.records.scenes import Scenes
from worldmodels.reports.film import count_frames

pytestmark = pytest.mark.slow


def test_practice_leaves_the_m_that_dreamt_and_a_record_that_can_be_drawn(pipeline):
    for name in ("dream", "dream-cma"):
        practice = pipeline / "data" / name / "practice"
        load_dream_model(practice / "dream.safetensors")
        scenes = Scenes.load(practice / "scenes")
        curve = read_csv(pipeline / "results" / name / "train_controller/curve.csv")
        assert len(scenes) == int(curve[-1]["env_steps"]) > 0
        assert scenes.draw(np.arange(2)).shape == (2, 64, 64, 3)
    said = (pipeline / "data/first/practice/README.txt").read_text()
    assert "Nothing was recorded or dreamt" in said


def test_the_dream_is_filmed_beside_the_drive(copy):
    command = [sys.executable, "-m", "commands.dream", "--seed", "5", "--start", "3"]
    done = say(copy, *command)
    assert done.returncode == 0, done.stderr
    assert "points on the track" in done.stdout and "with C at the wheel" in done.stdout
    horizon = yaml.safe_load((copy / "params.yaml").read_text())["evaluate"]["horizon"]
    assert count_frames(copy / "drives/dream-5.mp4") == horizon - 3
    sampled = say(copy, *command, "--temperature", "1", "--round", "dream-cma")
    assert sampled.returncode == 0, sampled.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--round", "first"], "no round 'first' learns in the dream"),
        (["--start", "99999"], "dream from an earlier one"),
        (["--start", "-1"], "a step is 0 or more"),
        (["--temperature", "0"], "temperature is 0: set it above 0"),
        (["--seed", "x"], "a whole number"),
    ],
)
def test_what_cannot_be_filmed_ends_with_one_line(copy, options, said):
    done = say(copy, sys.executable, "-m", "commands.dream", "--start", "3", *options)
    assert done.returncode == 1 and said in done.stderr
    assert done.stderr.count("\n") == 1 and not [*copy.glob("drives/*")]


def test_the_example_scores_ways_to_drive_in_the_dream(copy, root):
    shutil.copytree(root / "examples", copy / "examples")
    done = say(copy, sys.executable, "-m", "examples.dream")
    assert done.returncode == 0, done.stderr
    said = r"(.+): -?[\d.]+ points in 100 steps, lost with a probability of [\d.]+\n"
    assert re.findall(said, done.stdout) == ["the trained C", "straight on"]


def test_a_model_that_cannot_dream_is_refused(copy):
    practice = copy / "data/dream/practice/dream.safetensors"
    practice.write_bytes((copy / "models/first/mdnrnn.safetensors").read_bytes())
    done = say(copy, sys.executable, "-m", "commands.dream")
    assert done.returncode == 1 and "dream.safetensors" in done.stderr
