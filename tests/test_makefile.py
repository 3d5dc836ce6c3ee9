"""`make` on other people's machines: another Python, a half-built environment, a moved folder."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

OUTER = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"}  # what make tells a make in it
PYTHON = """#!/bin/sh
# A Python of version {version} that makes environments without downloading anything.
case "$1 $2" in
"-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && echo "$PWD/$3" >>"{log}"
    printf '#!%s\\n' "$PWD/$3/bin/python" >"$3/bin/pip" ;;
"-m pip") exit {pip} ;;
"-c "*) exec "{real}" -c "import sys; sys.version_info = ({version}, 'final', 0)
$2" ;;
esac
"""


@pytest.fixture
def folder(root, tmp_path) -> Path:
    folder = tmp_path / "né w" / "project"
    folder.mkdir(parents=True)
    for name in ("Makefile", "requirements.txt", "constraints.txt"):
        shutil.copy(root / name, folder)
    return folder


def python(folder: Path, version: str, pip: int = 0) -> Path:
    """A fake Python, next to the project; `pip`: the code that its pip ends with."""
    path = folder.parent / f"python-{version.replace(', ', '.')}-{pip}"
    log = folder.parent / "log"
    path.write_text(PYTHON.format(version=version, pip=pip, log=log, real=sys.executable))
    path.chmod(0o755)
    return path


def built(folder: Path) -> list[str]:
    """The environments that have been built so far, whole or not."""
    log = folder.parent / "log"
    return log.read_text().splitlines() if log.exists() else []


def make(folder: Path, target: str, *options: str) -> subprocess.CompletedProcess:
    """`make target`, on its own even where another make runs the tests."""
    env = {name: value for name, value in os.environ.items() if name not in OUTER}
    command = ["make", "--no-print-directory", target, *options]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)


def build(folder: Path, python: Path | str) -> subprocess.CompletedProcess:
    return make(folder, ".venv/ready", f"PYTHON={python}")


@pytest.mark.parametrize("version", ["3, 10, 2", "3, 14, 0", "2, 7, 18"])
def test_an_unsupported_python_is_named_and_nothing_is_built(folder, version):
    done = build(folder, python(folder, version))
    assert done.returncode != 0 and not (folder / ".venv").exists()
    first, *_ = done.stderr.splitlines()
    assert f"is Python {version.replace(', ', '.')}: this needs 3.11, 3.12 or 3.13" in first


def test_no_python_at_all_is_one_line(folder):
    done = build(folder, "no-such-python")
    assert done.returncode != 0 and "No no-such-python found" in done.stdout


def test_a_half_built_environment_of_another_python_is_built_again(folder):
    subprocess.run([python(folder, "3, 10, 2"), "-m", "venv", ".venv"], cwd=folder, check=True)
    done = build(folder, python(folder, "3, 12, 1"))
    assert done.returncode == 0 and "building it again" in done.stdout, done.stderr
    assert (folder / ".venv/ready").exists() and len(built(folder)) == 2


def test_a_download_that_failed_is_tried_again(folder):
    assert build(folder, python(folder, "3, 12, 1", pip=1)).returncode != 0
    assert not (folder / ".venv/ready").exists()
    shutil.copy(python(folder, "3, 12, 1"), folder / ".venv/bin/python")
    assert build(folder, python(folder, "3, 12, 1")).returncode == 0
    assert (folder / ".venv/ready").exists() and len(built(folder)) == 1


def test_an_environment_that_works_is_left_alone(folder):
    good = python(folder, "3, 13, 0")
    for _ in range(2):
        assert build(folder, good).returncode == 0
    assert len(built(folder)) == 1


@pytest.mark.parametrize("place", [shutil.move, shutil.copytree])
def test_in_a_moved_or_copied_folder_the_environment_is_built_again(folder, place):
    good, other = python(folder, "3, 11, 7"), folder.with_name("other project")
    assert build(folder, good).returncode == 0
    place(folder, other)
    done = build(other, good)
    assert done.returncode == 0 and "building it again" in done.stdout, done.stderr
    assert built(folder) == [f"{folder}/.venv", f"{other}/.venv"]
    assert build(other, good).stdout.count("building") == 0


@pytest.mark.parametrize("target", ["all", "variants", "drive", "watch", "dream"])
def test_targets_that_use_dvc_set_its_remote_first(folder, target):
    assert build(folder, python(folder, "3, 11, 7")).returncode == 0
    said = make(folder, target, "-n").stdout
    assert said.count("-m commands.remote") == 1
    assert "dvc " not in said.replace("DVC", "").partition("-m commands.remote")[0]
