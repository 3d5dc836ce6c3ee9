"""What an environment takes: `python -m benchmarks.memory KIND` prints MB a car, by itself."""

import subprocess
import sys

import psutil

from worldmodels.environment.car_racing import make_official
from worldmodels.environment.interface import VectorEnv
from worldmodels.environment.make import OneByOne
from worldmodels.environment.vector_env import VectorCarRacing

CARS = 64
KINDS = ("ours", "gymnasium")


def make(kind: str, slots: int) -> VectorEnv:
    """Cars of ours or of Gymnasium's."""
    if kind == "ours":
        return VectorCarRacing(slots)
    return OneByOne(make_official, slots)


def measured() -> dict[str, float]:
    """MB a car of each kind, each in a process of its own."""
    commands = {kind: [sys.executable, "-m", "benchmarks.memory", kind] for kind in KINDS}
    return {
        kind: float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        for kind, command in commands.items()
    }


def megabytes_a_car(kind: str) -> float:
    """What `CARS` environments take, each on a track of its own, over their number."""
    make(kind, 1).reset(0, 1)  # compiles, and loads what all share
    before = psutil.Process().memory_info().rss
    cars = make(kind, CARS)
    for slot in range(CARS):
        cars.reset(slot, 50_000 + slot)
    return (psutil.Process().memory_info().rss - before) / CARS / 2**20


if __name__ == "__main__":
    print(megabytes_a_car(sys.argv[1]))
