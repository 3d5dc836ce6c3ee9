import atexit
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from commands.quick import make_copy

ROOT = Path(__file__).resolve().parent.parent


def isolate() -> None:
    """Keep the user's git, DVC and home out of this process and those it starts.

    A git hook exports GIT_DIR and GIT_INDEX_FILE, with which a commit in a temporary repository
    would land on the user's branch; settings such as commit.gpgsign would fail it. The compiled
    code stays where it is, in the user's cache.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    home = tempfile.mkdtemp(prefix="worldmodels-home-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    for name in list(os.environ):
        if name.startswith("GIT_"):
            del os.environ[name]
    os.environ |= {
        "HOME": home,
        "XDG_CONFIG_HOME": f"{home}/.config",
        "XDG_CACHE_HOME": cache,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "DVC_NO_ANALYTICS": "1",
    }
    for who in ("AUTHOR", "COMMITTER"):
        os.environ |= {f"GIT_{who}_NAME": "test", f"GIT_{who}_EMAIL": "test@example.org"}


isolate()
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
# Two test workers share the cores: one process each that drives, and no thread spins as it waits.
os.environ.setdefault("WM_WORKERS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start what takes longest first: what needs the pipeline, then what else is slow."""

    def rank(item: pytest.Item) -> tuple[bool, float]:
        mark = item.get_closest_marker("slow")
        seconds = mark.kwargs.get("seconds", 2) if mark else 0
        return "pipeline" not in getattr(item, "fixturenames", ()), -seconds

    items.sort(key=rank)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def shared(tmp_path_factory) -> Callable[[str, Callable[[Path], None]], Path]:
    """`shared(name, make)`: a folder that `make(folder)` has filled, once for all test workers."""
    place = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent

    def get(name: str, make: Callable[[Path], None]) -> Path:
        folder, done = place / name, place / f"{name}.done"
        with open(place / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return get


@pytest.fixture(scope="session")
def code(shared) -> Path:
    """A copy of the code with tiny params, not to be changed."""
    return shared("code", make_copy)
