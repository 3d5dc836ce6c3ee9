"""The tiny pipeline in folders that other people have."""

import subprocess
import sys

import pytest
import yaml

from commands.quick import dvc, environment, make_copy


@pytest.mark.slow
def test_a_stage_runs_in_a_folder_with_spaces_and_letters_outside_ascii(tmp_path):
    folder = tmp_path / "né à Paris"
    make_copy(folder)
    dvc(folder, "repro", "--quiet", "sample@first")
    assert (folder / "data/first/scenes/steps.parquet").exists()
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "status", "sample@first"],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
    )
    assert "up to date" in done.stdout, done.stderr


@pytest.mark.slow
def test_an_impossible_name_of_a_world_ends_dvcs_run_with_one_line_of_ours(tmp_path):
    make_copy(tmp_path / "copy")
    path = tmp_path / "copy/params.yaml"
    tree = yaml.safe_load(path.read_text())
    tree["worlds"] = {"a b": tree["worlds"]["first"]}
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    command = [sys.executable, "-m", "dvc", "repro", "sample@a b"]
    env = environment(path.parent)
    done = subprocess.run(command, cwd=path.parent, env=env, capture_output=True, text=True)
    assert done.returncode != 0 and "Traceback" not in done.stderr
    (said,) = [line for line in done.stderr.splitlines() if "params.yaml" in line]
    assert said.startswith("sample@a b: params.yaml: a world is called 'a b'; rename it")
    assert "run `git restore results && dvc checkout`" in done.stderr
