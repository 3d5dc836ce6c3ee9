"""Wrong params and damaged inputs end a stage with one message and leave its outputs alone."""

import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from stages.sample import RANDOM
from tests.stages.folders import (
    cut_row,
    dvc,
    flip,
    say,
    set_param,
    tracks_tested,
    truncate,
)
from worldmodels.agent.agent import Agent

pytestmark = pytest.mark.slow

BY_EVOLUTION = "train_controller_by_evolution_in_real"
RETURNS = "results/first/evaluate/returns.csv"
TRAINED = "results/first/train_controller/metrics.json"


def start_with(folder: Path, name: str, components: int) -> None:
    """Let C's training of the first round start with the agent of a round."""
    set_param(folder, "rounds.first.start", f"models/{name}/agent.safetensors")
    set_param(folder, "real.evolution.fine_tuning.hidden_components", components)


WRONG = [
    ("train_vae", lambda f: flip(f / "data/first/scenes/steps.parquet"), "steps.parquet: damaged"),
    ("encode", lambda f: truncate(f / "models/first/vae.safetensors"), "vae.safetensors: damaged"),
    ("encode", lambda f: (f / "models/first/vae.safetensors").unlink(), "dvc pull"),
    ("train_mdnrnn", lambda f: flip(f / "data/first/latents.parquet"), "latents.parquet: damaged"),
    (BY_EVOLUTION, lambda f: set_param(f, "real.evolution.population", 1), "population is 1"),
    (
        "evaluate",
        lambda f: flip(f / "models/first/agent.safetensors"),
        "agent.safetensors: damaged",
    ),
    ("evaluate", lambda f: set_param(f, "evaluate.horizon", 0), "evaluate.horizon is 0"),
    ("figures", lambda f: cut_row(f / RETURNS), "returns.csv: damaged"),
    ("render", lambda f: cut_row(f / RETURNS), "returns.csv: damaged"),
    ("sample", lambda f: set_param(f, "worlds.first.exploration_share", 1.5), "exploration_share"),
    ("sample", lambda f: set_param(f, "worlds.first.exploration_share", 0.5), "set it to 1.0"),
    ("sample", lambda f: set_param(f, "worlds.first.policy", RANDOM), "would drive nothing"),
    (
        "sample",
        lambda f: set_param(f, "exploration.gas_mean", [1.0, 0.0]),
        "lower end comes first",
    ),
    (BY_EVOLUTION, lambda f: set_param(f, "real.evolution.hidden_components", 999), "256"),
    (BY_EVOLUTION, lambda f: start_with(f, "second", 8), "another V or M than the world 'first'"),
    (BY_EVOLUTION, lambda f: start_with(f, "dream", 4), "fine_tuning.hidden_components"),
    (BY_EVOLUTION, lambda f: start_with(f, "none", 8), "none/agent.safetensors"),
    ("evaluate", lambda f: (f / TRAINED).write_text("{}"), "train_controller/metrics.json"),
    ("sample", lambda f: set_param(f, "machine.device", "cuda:999"), "machine.device"),
    ("train_vae", lambda f: set_param(f, "vae.learning_rate", 1e30), "lower vae.learning_rate"),
    ("train_mdnrnn", lambda f: set_param(f, "mdnrnn.learning_rate", 1e38), "mdnrnn.learning_rate"),
    ("train_vae", lambda f: (f / "params.yaml").unlink(), "params.yaml"),
]


@pytest.mark.parametrize(("stage", "damage", "said"), WRONG)
def test_wrong_input_ends_a_stage_with_one_message_and_keeps_its_models(
    copy, run_stages, stage, damage, said
):
    models = {path: path.read_bytes() for path in copy.rglob("models/**/*.safetensors")}
    damage(copy)
    done = run_stages(copy, stage)
    assert done.returncode == 1
    assert said in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert not [*copy.rglob("*.part"), *copy.rglob(".part.*")]
    for path, content in models.items():
        assert not path.exists() or path.read_bytes() == content or path.name in said


def test_an_action_that_is_not_finite_names_track_and_step(copy, run_stages):
    path = copy / "models/first/agent.safetensors"
    agent = Agent.load(path)
    agent.parameters[:] = np.nan
    agent.save(path)
    done = run_stages(copy, "evaluate")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    where = f"on track {tracks_tested(copy)[0]} at step 0"
    assert f"{where} is not finite" in " ".join(done.stderr.split())


def test_models_of_other_sizes_are_refused_by_name(copy, run_stages):
    set_param(copy, "vae.latent_size", 4)
    set_param(copy, "worlds.first.vae_frames", 256)
    assert run_stages(copy, "train_vae", "encode").returncode == 0
    done = run_stages(copy, BY_EVOLUTION)
    assert done.returncode == 1 and "M's latents: 32 where the agent has 4" in done.stderr


def test_a_record_too_short_to_learn_from_is_refused(copy, run_stages):
    set_param(copy, "worlds.first.frames", 50)
    assert run_stages(copy, "sample").returncode == 0
    done = run_stages(copy, "train_vae")
    assert done.returncode == 1 and "raise worlds.*.frames" in done.stderr


def test_an_unknown_world_is_refused(copy):
    done = say(copy, sys.executable, "-m", "stages.sample", "third")
    assert done.returncode == 1 and "no world 'third'" in done.stderr


def test_a_damaged_object_of_the_cache_is_refused_when_it_is_read(tracked, run_stages):
    path = "models/second/agent.safetensors"
    stages = yaml.safe_load((tracked / "dvc.lock").read_text())["stages"].values()
    (md5,) = [out["md5"] for stage in stages for out in stage["outs"] if out["path"] == path]
    stored = tracked / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    stored.chmod(0o644)
    flip(stored)
    (tracked / path).unlink()
    dvc_said = dvc(tracked, "checkout")
    told = run_stages(tracked, "evaluate", name="second")
    assert told.returncode == 1 and path in told.stderr and "Traceback" not in told.stderr
    assert dvc_said.returncode != 0 or "damaged" in told.stderr
