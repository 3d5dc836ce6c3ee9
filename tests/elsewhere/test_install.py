"""Installed by pip from git, in an environment of its own, far from any clone."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.agents import make_agent

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """The Python of an environment that has worldmodels from git, and our packages."""
    folder = tmp_path_factory.mktemp("other") / "venv"
    venv.create(folder, with_pip=False)
    own = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    packages = [sysconfig.get_path("purelib"), *(p for p in sys.path if "site-packages" in p)]
    (own / "ours.pth").write_text("\n".join(packages))
    python = folder / "bin/python"
    source = f"git+file://{ROOT}"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    subprocess.run([*command, "--no-deps", source], check=True, cwd=folder)
    return python


def run(python: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(python), *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)


def test_the_example_drives_an_agent(python, tmp_path):
    shutil.copy(ROOT / "examples/drive.py", tmp_path)
    make_agent(candidates=1).save(tmp_path / "agent.safetensors")
    done = run(python, tmp_path, "drive.py", "agent.safetensors")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("score ")
    where = run(python, tmp_path, "-c", "import worldmodels; print(worldmodels.__file__)")
    assert str(python.parents[1]) in where.stdout


def test_the_command_scores_a_policy_of_the_project(python, tmp_path):
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "class Coast:\n"
        "    def reset(self): pass\n"
        "    def act(self, observation): return np.array([0.02, 0.6, 0.0])\n"
    )
    script = str(python.with_name("worldmodels-score"))
    done = run(python, tmp_path, script, "mine:Coast", "--tracks", "2")
    assert done.returncode == 0, done.stderr
    assert "on 2 official test tracks" in done.stdout
