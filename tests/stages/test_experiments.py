"""Runs on top of the pipeline: another round, the variants of variants.yaml."""

import re
import sys

import pytest
import yaml

from tests.stages.folders import dvc, say
from worldmodels.pipeline.storage import read_csv

pytestmark = pytest.mark.slow(seconds=60)


def test_a_third_world_and_round_need_only_entries_in_params(tracked):
    path = tracked / "params.yaml"
    tree = yaml.safe_load(path.read_text())
    agent = "models/second/agent.safetensors"
    tiny = {"policy": agent, "vae_frames": 256, "mdnrnn_steps": 1600}
    tree["worlds"]["third"] = tree["worlds"]["second"] | tiny
    tree["rounds"]["third"] = tree["rounds"]["second"] | {"world": "third"}
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    done = dvc(tracked, "repro", "figures@third")
    assert done.returncode == 0, done.stderr
    assert "sample@first' didn't change" in done.stdout
    assert (tracked / "results/third/figures/returns.png").exists()
    assert "round third" in say(tracked, sys.executable, "-m", "commands.table").stdout


def test_variants_run_as_experiments_and_are_collected_once(tracked):
    settings = {"real.evolution.strategy": "simple-es"}
    group = {"round": "first", "baseline": "recipe", "trials": [1]}
    group["common"] = {"evaluate.horizon": 20}
    possible = group | {"variants": {"recipe": {}, "simple ES": settings}}
    impossible = group | {"variants": {"not possible": {"seed": 0}}}
    groups = {"impossible": impossible, "ablations": possible}  # a failure stops no other
    (tracked / "variants.yaml").write_text(yaml.safe_dump(groups, sort_keys=False))
    config = tracked / ".dvc/config"
    config.write_text(config.read_text().replace("no_scm = True", ""))
    ignored = ["/data", "/models", "/.checkpoints", "__pycache__", "*.mp4", "/dvc_plots"]
    (tracked / ".gitignore").write_text("\n".join(ignored) + "\n")
    for command in (["init"], ["add", "-A"], ["commit", "-m", "all"]):
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        done = say(tracked, "git", *who, *command)
        assert done.returncode == 0, done.stderr
    command = (sys.executable, "-m", "commands.variants")
    done = say(tracked, *command)
    assert done.returncode == 1
    assert re.search("not-possible-trial-1-[0-9a-f]{6} failed, see above", done.stderr)
    runs = read_csv(tracked / "results/variants/runs.csv")
    assert [run["variant"] for run in runs] == ["recipe", "simple ES"]
    returns = read_csv(tracked / "results/variants/returns.csv")
    assert len(returns) == 2 * 3 and len({row["return"] for row in returns}) > 3
    curves = (tracked / "results/variants/curves.csv").read_bytes()
    assert curves.count(b"simple ES") == 2  # generations
    again = say(tracked, *command, "--list")
    assert "recipe" not in again.stdout and "not-possible" in again.stdout
    say(tracked, *command, "--only", "ablations")
    assert read_csv(tracked / "results/variants/runs.csv") == runs
    (tracked / "results/variants/runs.csv").unlink()  # as if stopped before they were collected
    say(tracked, *command, "--only", "ablations")
    assert read_csv(tracked / "results/variants/runs.csv") == runs
    assert read_csv(tracked / "results/variants/returns.csv") == returns
    assert (tracked / "results/variants/curves.csv").read_bytes() == curves
    done = say(tracked, sys.executable, "-m", "stages.compare")
    assert done.returncode == 0, done.stderr
    assert "simple ES" in (tracked / "results/compare/ablations.md").read_text()
