"""A moved or copied folder pushes into its own artifacts/, and a chosen remote stays."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from commands.remote import LOCAL, with_url

TEAM = "['remote \"team\"']\n    url = webdav://host\n    password = secret\n"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["project", "né w", "a, #b", "it's"])
def test_dvc_pushes_into_the_artifacts_of_a_copied_folder(tmp_path, root, name):
    first = new_project(tmp_path / name, root)
    (first / LOCAL).write_text(TEAM)
    assert run(first) == "" and place(first) == f"{first}/artifacts"
    assert run(first) == ""
    second = shutil.copytree(first, tmp_path / f"{name} 2")
    assert f"DVC's remote was {first}/artifacts; it is" in run(second)
    assert place(second) == f"{second}/artifacts"
    assert place(first) == f"{first}/artifacts"
    assert (second / LOCAL).read_text().startswith(TEAM)


@pytest.mark.parametrize("before", ["", TEAM, f"{TEAM}['remote \"artifacts\"']\n    jobs = 2\n"])
def test_other_settings_are_kept(before):
    changed, old = with_url(before, "/here/artifacts")
    assert old is None and with_url(changed, "/here/artifacts") == (changed, "/here/artifacts")
    assert [line for line in before.splitlines() if line not in changed.splitlines()] == []
    moved, old = with_url(changed, "/there/artifacts")
    assert old == "/here/artifacts" and moved == changed.replace("/here/", "/there/")


def test_a_remote_of_the_users_choice_is_kept():
    own = "['remote \"artifacts\"']\n    url = s3://bucket/path\n"
    assert with_url(own, "/here/artifacts") == (own, "s3://bucket/path")


def new_project(folder: Path, root: Path) -> Path:
    (folder / ".dvc").mkdir(parents=True)
    config = (root / ".dvc/config").read_text().replace("[core]", "[core]\n    no_scm = true")
    (folder / ".dvc/config").write_text(config)
    return folder


def run(folder: Path) -> str:
    code = "from commands.remote import main; main()"
    return python(folder, "-c", code)


def place(folder: Path) -> str:
    """The folder that `dvc push` writes into, as DVC reads its settings."""
    return python(folder, "-m", "dvc", "config", "remote.artifacts.url").strip()


def python(folder: Path, *arguments: str) -> str:
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
