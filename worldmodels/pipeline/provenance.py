"""Provenance and cost of the results, in a file that DVC does not track.

It has a row per stage and world or round.
"""

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.machine import available_cores
from worldmodels.pipeline.storage import read_csv, write_csv

RUNS = Path("results/runs.csv")
PACKAGES = ("torch", "numpy", "numba", "gymnasium", "box2d", "cma")


def note_run(path: Path, stage: str, entry: str, seconds: float) -> None:
    """Record how long a stage ran, on which machine, commit and versions, in place of its old row.

    Core-hours count all cores that it might use, busy or not. A file that cannot be read or
    written is reported, and nothing is raised.
    """
    cores = available_cores()
    run = {
        "stage": stage,
        "round": entry,
        "seconds": f"{seconds:.0f}",
        "core_hours": f"{seconds * cores / 3600:.3f}",
        "processor": ", ".join([processor(), *accelerators()]),
        "cores": str(cores),
        "commit": commit(),
        "python": platform.python_version(),
    }
    run |= versions()
    try:
        rows = read_csv(path) if path.exists() else []
        rows = [row for row in rows if (row["stage"], row["round"]) != (stage, entry)]
        columns = dict.fromkeys([*(rows[0] if rows else ()), *run], "")  # old ones and new
        write_csv(path, [columns | row for row in [*rows, run]])
    except (UserError, KeyError, ValueError) as error:  # not worth failing a finished stage
        print(f"{path}: the run of {stage} could not be noted: {error}", file=sys.stderr)


def versions() -> dict[str, str]:
    """The versions of the packages that a result depends on; "missing" where there is none."""
    return {package: _version(package) for package in PACKAGES}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # another distribution has the same modules
        return "missing"


def processor() -> str:
    """The processor's name as Linux gives it; elsewhere the architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else os.uname().machine


def accelerators() -> list[str]:
    """The CUDA card that this process has used, with its driver; empty if it has used none."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    if cuda is None or not cuda.is_initialized():
        return []
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        told = subprocess.run(query, capture_output=True, text=True, check=True).stdout
        driver = told.splitlines()[0].strip()
    except (OSError, subprocess.CalledProcessError, IndexError):
        driver = "unknown"
    return [f"{cuda.get_device_name()} with driver {driver}"]


def commit() -> str:
    """The current commit, followed by "+" if code or params differ from it, or "unknown"."""
    try:
        head = git("rev-parse", "--short=12", "HEAD")
        changed = git("status", "--porcelain", "--", "*.py", "params.yaml", "dvc.yaml")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+" if changed else "")


def git(*arguments: str) -> str:
    """The output of a git command. Raises OSError or CalledProcessError."""
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()
