"""Where a result came from and what it cost: a row a stage in a file that is no output of DVC."""

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.machine import available_cores
from worldmodels.pipeline.storage import read_csv, write_csv

RUNS = Path("results/runs.csv")
PACKAGES = ("torch", "numpy", "numba", "gymnasium", "box2d", "cma")


def note_run(path: Path, stage: str, round_name: str, seconds: float) -> None:
    """Write down what a stage took and what it was computed with; time does not repeat.

    Core-hours are those of all the cores it may use, busy or not.
    """
    cores = available_cores()
    run = {
        "stage": stage,
        "round": round_name,
        "seconds": f"{seconds:.0f}",
        "core_hours": f"{seconds * cores / 3600:.3f}",
        "processor": processor(),
        "cores": str(cores),
        "commit": commit(),
        "python": platform.python_version(),
    }
    run |= versions()
    try:
        rows = read_csv(path) if path.exists() else []
        rows = [row for row in rows if (row["stage"], row["round"]) != (stage, round_name)]
        write_csv(path, [*rows, run])
    except (UserError, KeyError, ValueError) as error:  # never fail a stage that is done over this
        print(f"{path}: the run of {stage} could not be noted: {error}", file=sys.stderr)


def versions() -> dict[str, str]:
    """The versions of the packages that a result depends on."""
    return {package: version(package) for package in PACKAGES}


def processor() -> str:
    """The processor's name as Linux gives it, or the architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else os.uname().machine


def commit() -> str:
    """The commit checked out, a "+" after it if code or params differ from it, or "unknown"."""
    try:
        head = git("rev-parse", "--short=12", "HEAD")
        changed = git("status", "--porcelain", "--", "*.py", "params.yaml", "dvc.yaml")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+" if changed else "")


def git(*arguments: str) -> str:
    """What git says. Raises OSError or CalledProcessError."""
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()
