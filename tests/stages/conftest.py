"""The tiny pipeline, run once for all tests and all workers of a session, and copies of it."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stages.folders import say
from tests.stages.forks import Forks


@pytest.fixture(scope="session")
def quick(shared, root) -> subprocess.CompletedProcess:
    """What `make quick` said. Its folder is read by many tests at once: change copies only."""

    def make(folder: Path) -> None:
        command = (sys.executable, "-m", "commands.quick")
        done = say(root, *command, seconds=3000, TMPDIR=str(folder))
        (folder / "said.json").write_text(json.dumps(vars(done)))

    return subprocess.CompletedProcess(
        **json.loads((shared("quick", make) / "said.json").read_text())
    )


@pytest.fixture(scope="session")
def pipeline(quick) -> Path:
    """The folder in which the tiny pipeline has run. Not to be changed."""
    assert quick.returncode == 0, quick.stderr
    (said,) = re.findall(r"ran in \d+ s, in (\S+)", quick.stdout)
    return Path(said)


@pytest.fixture
def copy(pipeline, tmp_path) -> Path:
    """A copy of it without DVC."""
    folder = tmp_path / "copy"
    shutil.copytree(pipeline, folder, ignore=shutil.ignore_patterns(".dvc"))
    return folder


@pytest.fixture
def tracked(pipeline, tmp_path) -> Path:
    """A copy with its own DVC: cache, lock and all."""
    return shutil.copytree(pipeline, tmp_path / "tracked")


@pytest.fixture(scope="session")
def forks(root):
    server = Forks(root)
    yield server
    server.close()


@pytest.fixture(scope="session")
def run_stages(forks):
    """`run_stages(folder, *stages)`: runs stages of the first round; see `Forks`."""

    def run(folder: Path, *stages: str, name: str = "first") -> subprocess.CompletedProcess:
        modules = [f"stages.{stage}" for stage in stages]
        return forks.run(folder, modules, name)

    return run
