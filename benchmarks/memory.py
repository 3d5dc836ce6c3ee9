"""Memory of an environment: `python -m benchmarks.memory KIND` prints MB per environment."""

import argparse
import subprocess
import sys

import psutil

from worldmodels.environment.car_racing import make_official
from worldmodels.environment.interface import VectorEnv
from worldmodels.environment.make import OneByOne
from worldmodels.environment.vector_env import VectorCarRacing

ENVS = 64
KINDS = ("ours", "gymnasium")


def make(kind: str, slots: int) -> VectorEnv:
    """Make `slots` environments: ours, in one vector environment, or Gymnasium's."""
    if kind == "ours":
        return VectorCarRacing(slots)
    return OneByOne(make_official, slots)


def measured() -> dict[str, float]:
    """Return MB per environment of each kind, each measured in a process of its own."""
    commands = {kind: [sys.executable, "-m", "benchmarks.memory", kind] for kind in KINDS}
    return {
        kind: float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        for kind, command in commands.items()
    }


def megabytes_per_environment(kind: str) -> float:
    """Return the memory of ENVS environments, each on its own track, over their number."""
    make(kind, 1).reset(0, 1)  # compiles, and loads what all share
    before = psutil.Process().memory_info().rss
    envs = make(kind, ENVS)
    for slot in range(ENVS):
        envs.reset(slot, 50_000 + slot)
    return (psutil.Process().memory_info().rss - before) / ENVS / 2**20


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.memory")
    parser.add_argument("kind", choices=KINDS)
    print(megabytes_per_environment(parser.parse_args().kind))
