"""Run every stage of every world and round at tiny sizes, from scratch, in a temporary folder."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import yaml

from worldmodels.pipeline.errors import UserError, user_errors
from worldmodels.pipeline.params import ENTRIES, read_yaml

ROOT = Path(__file__).resolve().parent.parent
TINY = ROOT / "tests" / "tiny.yaml"
NONE: Mapping[str, Any] = MappingProxyType({})  # no changes
CODE = ["stages", "worldmodels", "commands", "tests", ".dvcignore"]


def merge(base: dict[str, Any], change: Mapping[str, Any]) -> None:
    """Overwrite values of `base` with those of `change`. Raises KeyError for a key it lacks."""
    for key, value in change.items():
        if key not in base:
            raise KeyError(f"{key!r} is not in params.yaml")
        if isinstance(value, dict):
            merge(base[key], value)
        else:
            base[key] = value


def make_copy(folder: Path, changes: Mapping[str, Any] = NONE) -> None:
    """Copy the code to `folder`, with its own DVC and without git. tests/tiny.yaml and then
    `changes` overwrite our params; only the worlds and rounds in tiny.yaml, and their stages, are
    kept. Any that params.yaml lacks must be complete there."""
    for name in CODE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    params, tiny = read_yaml(ROOT / "params.yaml"), read_yaml(TINY)
    for every in ENTRIES:
        params[every] = {
            name: params[every].get(name, entry) for name, entry in tiny[every].items()
        }
    for change in (tiny, changes):
        merge(params, change)
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    pipeline = read_yaml(ROOT / "dvc.yaml")
    pipeline["stages"] = {k: v for k, v in pipeline["stages"].items() if "foreach" in v}
    (folder / "dvc.yaml").write_text(yaml.safe_dump(pipeline, sort_keys=False))
    dvc(folder, "init", "--no-scm", "--quiet")
    for setting in ("analytics", "check_update"):
        dvc(folder, "config", f"core.{setting}", "false")


def environment(folder: Path) -> dict[str, str]:
    """The environment variables for DVC in `folder`: without the settings of the user's DVC, and
    without those that git sets in a hook."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {f"DVC_{level}_CONFIG_DIR": str(folder / ".dvc/tmp") for level in ("GLOBAL", "SYSTEM")}
    return kept | own | {"DVC_NO_ANALYTICS": "1", "PATH": path}


def dvc(folder: Path, *arguments: str, output: IO | None = None) -> None:
    """Run DVC in `folder`, printing to `output`. Raises CalledProcessError if it fails."""
    command = [sys.executable, "-m", "dvc", *arguments]
    subprocess.run(
        command, cwd=folder, env=environment(folder), check=True, stdout=output, stderr=output
    )


def run(folder: Path, changes: Mapping[str, Any] = NONE) -> None:
    """Run the whole tiny pipeline in `folder` and show metrics and plots; see `make_copy`.

    Raises UserError if it fails, and leaves the folder as it is.
    """
    make_copy(folder, changes)
    try:
        for arguments in (("repro",), ("metrics", "show"), ("plots", "show")):
            dvc(folder, *arguments)
    except subprocess.CalledProcessError as error:
        raise failed(error, folder) from None


def failed(error: subprocess.CalledProcessError, folder: Path) -> UserError:
    """The error for a DVC that failed in `folder`, after it said why."""
    return UserError(
        f"{' '.join(error.cmd)} failed with code {error.returncode} in {folder}: see above"
    )


def main() -> None:
    argparse.ArgumentParser(description=__doc__, prog="make quick").parse_args()
    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="worldmodels-quick-"))
    run(folder)
    print(f"\nEvery stage of every round ran in {time.monotonic() - started:.0f} s, in {folder}")
    print(f"metrics: {folder}/results/*/*/metrics.json (the table above)")
    print(f"plots:   {folder}/dvc_plots/index.html (its plotting library comes from the network)")
    print(f"figures: {folder}/results/*/figures/*.png")
    print(f"video:   {folder}/results/second/render/episode.mp4")


if __name__ == "__main__":
    with user_errors("quick"):
        main()
