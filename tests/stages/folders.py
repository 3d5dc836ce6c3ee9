"""Look into, change, damage and run commands in a folder where the tiny pipeline has run."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from worldmodels.runtime.seeds import tracks_for_test


def environment(**more: str) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    return os.environ | {"DVC_NO_ANALYTICS": "1", "PATH": path} | more


def say(
    folder: Path, *command: str, seconds: int = 600, **more: str
) -> subprocess.CompletedProcess:
    """Run a command in the folder, as a person would, for so many seconds at most."""
    env = environment(**more)
    return subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=seconds
    )


def dvc(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return say(folder, sys.executable, "-m", "dvc", *arguments)


def params_of(folder: Path) -> dict[str, Any]:
    return yaml.safe_load((folder / "params.yaml").read_text())


def set_param(folder: Path, key: str, value: Any) -> None:
    tree = params_of(folder)
    *parents, last = key.split(".")
    inner = tree
    for part in parents:
        inner = inner[part]
    inner[last] = value
    (folder / "params.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))


def tracks_tested(folder: Path) -> list[int]:
    """The tracks of the tiny recipe's test, two per round."""
    return tracks_for_test(2, params_of(folder)["evaluate"]["first_test_track"])


def metrics(folder: Path, stage: str) -> dict[str, Any]:
    """The metrics of a stage in the second round."""
    return json.loads((folder / "results/second" / stage / "metrics.json").read_text())


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def cut_row(path: Path) -> None:
    """Leave only the first cell of the last row."""
    *rows, last = path.read_text().splitlines()
    path.write_text("\n".join([*rows, last.split(",")[0]]))
