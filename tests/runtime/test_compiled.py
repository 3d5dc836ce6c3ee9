"""Compiled code is shared by copies of the repository, and not by other versions of it."""

import os
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow
SCRIPT = """
import numpy as np
from worldmodels.runtime.compiled import VERSION
from worldmodels.control.controller import act
act(np.zeros((1, 9)), np.zeros(1, dtype=np.int64), np.zeros((1, 2)), 0)
print(VERSION, sum(act.stats.cache_hits.values()), act.stats.cache_path)
"""


@pytest.fixture
def run(root, tmp_path):
    def run(name, caches, change=""):
        folder = tmp_path / name
        if not folder.exists():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(root / "worldmodels", folder / "worldmodels", ignore=ignore)
        with open(folder / "worldmodels/environment/picture/pose.py", "a") as file:
            file.write(change)
        env = os.environ | {"XDG_CACHE_HOME": str(caches)}
        command = [sys.executable, "-c", SCRIPT]
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        version, hits, path = done.stdout.split()
        return version, int(hits), path

    return run


def test_copies_share_what_is_compiled_and_another_version_does_not(run, tmp_path):
    version, hits, path = run("one", tmp_path / "caches")
    assert hits == 0 and path == str(tmp_path / "caches/worldmodels-numba" / version)
    assert run("two", tmp_path / "caches") == (version, 1, path)
    changed, hits, elsewhere = run("two", tmp_path / "caches", "# another constant")
    assert changed != version and hits == 0 and elsewhere != path


def test_where_the_users_cache_cannot_be_written_the_repository_holds_it(run, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    version, _, path = run("one", tmp_path / "file")
    assert path.startswith(str(tmp_path / "one/.numba" / version))
    assert run("one", tmp_path / "file") == (version, 1, path)
