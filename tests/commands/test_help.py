"""A command that is asked for help gives it, and runs nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = [
    path
    for folder in ("commands", "benchmarks")
    for path in sorted(Path(folder).glob("*.py"))
    if "__main__" in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("path", SCRIPTS, ids=str)
def test_help_runs_nothing(path):
    if path.parent.name == "benchmarks":
        pytest.importorskip("envpool")
    command = [sys.executable, "-m", ".".join(path.with_suffix("").parts), "--help"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("usage:")
