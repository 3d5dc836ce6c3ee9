"""Compiled code is shared by copies of the repository, not by other versions of it, and never
believed when damaged."""

import importlib
import os
import pkgutil
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from numba.core.dispatcher import Dispatcher

import worldmodels
from tests.imports import closure
from worldmodels.runtime import compiled as module
from worldmodels.runtime.compiled import CheckedFiles, cache_folders, compiled_sources

SCRIPT = """
import numpy as np
from worldmodels.runtime.compiled import VERSION
from worldmodels.control.controller import outputs
outputs(np.zeros((1, 9)), np.zeros(1, dtype=np.int64), np.zeros((1, 2)), 0)
print(VERSION, sum(outputs.stats.cache_hits.values()), outputs.stats.cache_path)
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
        version, hits, path = done.stdout.strip().split(" ", 2)
        return version, int(hits), path

    return run


@pytest.mark.slow
def test_copies_share_what_is_compiled_and_another_version_does_not(run, tmp_path):
    version, hits, path = run("one", tmp_path / "caches")
    assert hits == 0 and path == str(tmp_path / "caches/worldmodels-numba" / version)
    assert run("two", tmp_path / "caches") == (version, 1, path)
    changed, hits, elsewhere = run("two", tmp_path / "caches", "# another constant")
    assert changed != version and hits == 0 and elsewhere != path


@pytest.mark.slow
def test_where_the_users_cache_cannot_be_written_the_repository_holds_it(run, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    version, _, path = run("one", tmp_path / "file")
    assert path == str(tmp_path / "one/.numba" / version)
    assert run("one", tmp_path / "file") == (version, 1, path)


def test_where_nothing_can_be_written_it_is_compiled_each_time(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setattr(module, "cache_folders", lambda: [tmp_path / "file/folder"])
    monkeypatch.setattr(module, "_SOURCES", {Path(__file__).resolve()})
    with pytest.warns(UserWarning, match=r"cannot be kept in .*file/folder"):
        dispatcher = module.compiled(lambda x: x + 1)
    assert dispatcher(1) == 2


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.slow
def test_files_that_were_cut_short_are_compiled_again(run, tmp_path):
    version, _, path = run("one", tmp_path / "caches")
    folder = tmp_path / "caches/worldmodels-numba" / version
    files = [*folder.glob("controller.outputs-*.nbc"), *folder.glob("controller.outputs-*.nbi")]
    assert len(files) == 2
    for file in files:
        cut(file)
    assert run("one", tmp_path / "caches") == (version, 0, path)
    assert run("one", tmp_path / "caches") == (version, 1, path)


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_a_file_damaged_anywhere_counts_as_missing(tmp_path, kind):
    files = CheckedFiles(str(tmp_path), "function", "stamp")
    assert files.load("key") is None
    files.save("key", "code")
    (path,) = tmp_path.glob(f"*.{kind}")
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        assert files.load("key") is None
        path.write_bytes(whole[:place])
        assert files.load("key") is None
    files.save("key", "new code")
    assert files.load("key") == "new code"
    assert CheckedFiles(str(tmp_path), "function", "another stamp").load("key") is None


@pytest.mark.parametrize(
    ("numbas", "xdg", "home", "expected"),
    [
        ("/of numba", "/of xdg", "/home/u", "/of numba"),
        (None, "/of xdg", "/home/u", "/of xdg"),
        (None, None, "/home/u", "/home/u/.cache"),
        ("", "relative", "/home/u", "/home/u/.cache"),
        (None, None, "~", None),  # as of a user that the system does not know, without HOME
        ("~/numba", "./xdg", "", "/.cache"),
    ],
)
def test_the_users_settings_choose_the_folder(root, monkeypatch, numbas, xdg, home, expected):
    for name, value in {"NUMBA_CACHE_DIR": numbas, "XDG_CACHE_HOME": xdg, "HOME": home}.items():
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(
            name, value
        )
    *users, repositorys = cache_folders()
    assert repositorys == root / ".numba" / module.VERSION
    wanted = [] if expected is None else [Path(expected, "worldmodels-numba", module.VERSION)]
    assert users == wanted


NEED_MORE = {  # modules that need packages beyond a default installation
    "worldmodels.workers.cluster",
    "worldmodels.workers.connection",
    "worldmodels.workers.remote",
    "worldmodels.interop.stable_baselines",
}


def test_every_compiled_function_and_all_that_its_module_imports_is_hashed(root):
    sources = set(compiled_sources())
    holders = set()
    for found in pkgutil.walk_packages(worldmodels.__path__, "worldmodels."):
        if found.name in NEED_MORE:
            continue
        there = vars(importlib.import_module(found.name)).values()
        names = {value.__module__ for value in there if isinstance(value, Dispatcher)}
        holders |= {root.joinpath(*name.split(".")).with_suffix(".py") for name in names}
    assert len(holders) > 5
    runtime = closure(root / "worldmodels/runtime/compiled.py", set())
    for holder in holders:
        needed = {path for path in closure(holder, set()) if path.name != "__init__.py"}
        assert needed - runtime <= sources, holder


def test_modules_count_however_they_are_imported(tmp_path):
    package = tmp_path / "package"
    files = {
        "physics/car.py": "import package.one\nfrom package.parts import (\n  two,\n  three,\n)\n"
        "@compiled\ndef step(): ...\n",
        "one.py": "def f():\n    from package.four import X\n",
        "parts/__init__.py": "Y = 1\n",
        "parts/two.py": "from package.parts.five import X as Z\n",
        "parts/three.py": "",
        "parts/five.py": "",
        "four.py": "",
        "other.py": "import package.one\n",
    }
    for name, text in files.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    found = {str(path.relative_to(package)) for path in compiled_sources(package)}
    assert found == set(files) - {"other.py"}
