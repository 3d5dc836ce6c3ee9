"""The list of variants, and how they are run as experiments and collected."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from commands.variants import Variant, is_done, refuse_path, rows_of, variants
from stages import compare
from stages.compare import VARIANTS
from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.params import PARAMS, PIPELINE, leaves, read_yaml
from worldmodels.pipeline.storage import read_csv, write_csv


def variants_of(root, **changes):
    """The variants of the repository by name and trial, where params.yaml has other values."""
    recipe = read_yaml(root / PARAMS)
    for key, value in changes.items():
        section, name = key.split("__")
        assert name in recipe[section]
        recipe[section][name] = value
    found = variants(read_yaml(root / VARIANTS), recipe, read_yaml(root / PIPELINE))
    return {(variant.name, variant.trial): variant for variant in found}


def test_every_variant_changes_params_that_exist_and_has_a_name_of_its_own(root):
    tree = read_yaml(root / PARAMS)
    known = set(leaves(tree))
    found = variants_of(root).values()
    assert len({variant.experiment for variant in found}) == len(found) > 30
    for variant in found:
        changed = {word.split("=")[0] for word in variant.command if "=" in word}
        assert changed <= known, variant.name
        assert f"rounds.{variant.round}.trial" in changed and variant.round in tree["rounds"]


def test_the_baseline_of_every_group_is_a_variant(root):
    tree = read_yaml(root / VARIANTS)
    names = {name for group in tree.values() for name in group["variants"]}
    assert {group["baseline"] for group in tree.values()} <= names


def test_the_command_of_a_variant_is_what_a_person_would_type():
    settings = {"rounds.first.env_steps": 9, "seed": 3, "rounds.first.trial": 2}
    variant = Variant("CMA-ES, raw", 2, "first", settings, {})
    assert variant.experiment.startswith("cma-es-raw-trial-2-")
    said = f"dvc exp run --temp --name {variant.experiment} -S rounds.first.env_steps=9 -S seed=3"
    assert " ".join(variant.command) == f"{said} -S rounds.first.trial=2 evaluate@first"


def test_a_param_of_reports_makes_no_variant_out_of_date(root):
    before, after = variants_of(root), variants_of(root, render__lap_width=7)
    assert {k: v.experiment for k, v in after.items()} == {
        k: v.experiment for k, v in before.items()
    }


def test_a_param_makes_the_variants_out_of_date_that_depend_on_it(root):
    before, after = variants_of(root), variants_of(root, mdnrnn__reward_steps=7)
    changed = {name for (name, trial), v in after.items() if v != before[name, trial]}
    kept = {name for name, _ in before} - changed
    assert kept == {"M predicts the next reward only", "paper"}  # these set it themselves


def test_a_result_of_other_params_does_not_count_and_stays_until_it_is_replaced(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    ran = Variant("plain", 1, "first", {"seed": 1}, {"seed": 1})
    other = {"variant": "other", "trial": "1", "command": "its own"}
    row = {"variant": "plain", "trial": "1", "command": " ".join(ran.command)}
    write_csv(compare.COLLECTED / "runs.csv", [other, row])
    assert is_done(ran) and is_done(Variant("plain", 1, "first", {}, {"seed": 1}))
    assert not is_done(ran._replace(depends_on={"seed": 2}))
    assert not is_done(ran._replace(trial=2))
    assert rows_of("runs") == [other, row]


def test_a_group_shares_settings_and_a_variant_may_have_a_round_of_its_own():
    group = {"round": "first", "trials": [1, 2], "common": {"rounds.ROUND.a": 1}}
    group["variants"] = {"plain": {}, "later": {"round": "second", "b": 2}}
    recipe = {"b": 0, "rounds": {"first": {"a": 0, "trial": 0}, "second": {"a": 0, "trial": 0}}}
    stage = {"foreach": "${rounds}", "do": {"params": ["b", "rounds.${key}.a"]}}
    found = list(variants({"group": group}, recipe, {"stages": {"evaluate": stage}}))
    assert [(variant.name, variant.trial) for variant in found] == [
        ("plain", 1),
        ("later", 1),
        ("plain", 2),
        ("later", 2),
    ]
    assert found[0].round == "first"
    assert found[0].settings == {"rounds.first.a": 1, "rounds.first.trial": 1}
    assert found[0].depends_on == {"b": 0, "rounds.first.a": 1}
    assert found[1].round == "second"
    assert found[1].settings == {"rounds.second.a": 1, "b": 2, "rounds.second.trial": 1}
    assert found[1].depends_on == {"b": 2, "rounds.second.a": 1}


EVALUATE = """
import csv, pathlib, sys, yaml
params = yaml.safe_load(open("params.yaml"))
score, trial = params["score"], params["rounds"]["first"]["trial"]
if score < 0:
    sys.exit("no such score")
def write(path, rows):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
write("results/first/evaluate/drawn_returns.csv", [{"track": 7, "return": score, "steps": 9}])
curve = [{"env_steps": 5, "validation": score}, {"env_steps": 6, "validation": ""}]
write("results/first/train_controller/curve.csv", curve)
run = {"stage": "train_controller", "round": "first", "seconds": trial, "processor": "p"}
write("results/runs.csv", [run | {"cores": 2}])
"""
PIPE = {
    "stages": {
        "evaluate": {
            "foreach": "${rounds}",
            "do": {
                "cmd": "python evaluate.py",
                "deps": ["evaluate.py"],
                "params": ["score", "rounds.${key}.trial"],
                "outs": [
                    {"results/first/evaluate/drawn_returns.csv": {"cache": False}},
                    {"results/first/train_controller/curve.csv": {"cache": False}},
                ],
            },
        }
    }
}
PARAMS_TEXT = "score: 1\nrounds: {first: {trial: 0}}\n"
VARIANTS_TEXT = """
ablations:
  round: first
  baseline: recipe
  trials: [1]
  common: {}
  variants:
    recipe: {}
    not possible: {score: -1}
"""
OLD = {
    "returns": "variant,trial,track,return,steps\nnot possible,1,6,5,5\nrecipe,1,6,5,5\n",
    "curves": "variant,trial,env_steps,validation\nnot possible,1,5,5\nrecipe,1,5,5\n",
    "runs": (
        "variant,trial,command,from_commit,seconds,processor,cores\n"
        "not possible,1,of other params,0,5,p,2\nrecipe,1,of other params,0,5,p,2\n"
    ),
}
NEW = {
    "returns": "variant,trial,track,return,steps\nnot possible,1,6,5,5\nrecipe,1,7,1,9\n",
    "curves": "variant,trial,env_steps,validation\nnot possible,1,5,5\nrecipe,1,5,1\n",
}


@pytest.fixture
def project(root, tmp_path):
    """A project of one stage in a subfolder of a git repository, with results of other params;
    and a function that runs a command there, apart from the git and the DVC of the user."""
    folder = tmp_path / "repository/sub/folder"
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env |= {"PATH": f"{os.path.dirname(sys.executable)}:/usr/bin:/bin", "PYTHONPATH": str(root)}
    env |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "DVC_NO_ANALYTICS": "1"}
    env |= {f"DVC_{level}_CONFIG_DIR": str(tmp_path / "none") for level in ("GLOBAL", "SYSTEM")}
    for who in ("AUTHOR", "COMMITTER"):
        env |= {f"GIT_{who}_NAME": "a", f"GIT_{who}_EMAIL": "a@b.c"}

    def say(*command):
        return subprocess.run(
            command, cwd=folder, env=env, capture_output=True, text=True, timeout=300
        )

    files = {
        "evaluate.py": EVALUATE,
        "dvc.yaml": yaml.safe_dump(PIPE, sort_keys=False),
        "params.yaml": PARAMS_TEXT,
        "variants.yaml": VARIANTS_TEXT,
        "results/runs.csv": "stage,round,seconds,processor,cores\n",
    }
    files |= {f"results/variants/{name}.csv": text for name, text in OLD.items()}
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for command in (
        ["git", "init", "-q", str(tmp_path / "repository")],
        [sys.executable, "-m", "dvc", "init", "-q", "--subdir"],
        ["git", "add", "-A", "."],
        ["git", "commit", "-qm", "all"],
    ):
        done = say(*command)
        assert done.returncode == 0, done.stderr
    return folder, say


def collected(folder):
    return {name: (folder / f"results/variants/{name}.csv").read_text() for name in OLD}


@pytest.mark.slow
def test_results_in_a_subfolder_of_a_repository_are_collected_and_replace_old_ones(project):
    folder, say = project
    command = sys.executable, "-m", "commands.variants"
    done = say(*command)
    assert done.returncode == 1 and "2 of 2 variants to run" in done.stdout, done.stderr
    assert "2 have results of other params, which stay until they are replaced" in done.stdout
    assert "not-possible-trial-1-" in (last := done.stderr.splitlines()[-1])
    assert last.count("failed, see above") == 1
    found = collected(folder)
    assert found | NEW == found  # the old result of the one that failed is there
    failed, ran = read_csv(folder / "results/variants/runs.csv")
    assert failed["command"] == "of other params" and ran["seconds"] == "1"

    (folder / "results/variants/runs.csv").write_text(OLD["runs"])  # as if stopped before it
    (folder / "variants.yaml").write_text(VARIANTS_TEXT.replace("not possible: {score: -1}", ""))
    done = say(*command)
    assert done.returncode == 0 and "Running stage" not in done.stdout, done.stderr
    assert collected(folder) == found
    assert "0 of 1 variants to run" in say(*command).stdout


@pytest.mark.slow
def test_params_that_a_killed_experiment_left_are_refused(project):
    folder, say = project
    params = folder / "params.yaml"
    params.write_text(PARAMS_TEXT + "\n")
    done = say(sys.executable, "-m", "commands.variants")
    assert done.returncode == 1 and "Running stage" not in done.stdout
    assert "`git restore --staged --worktree params.yaml`" in done.stderr.splitlines()[-1]
    assert say(sys.executable, "-m", "commands.variants", "--list").returncode == 0


def test_a_path_in_which_dvc_fails_is_named_before_anything_runs():
    refuse_path(Path("/home/a/world models"))
    with pytest.raises(UserError, match=r"/home/é: DVC fails .* move the repository"):
        refuse_path(Path("/home/é"))
