"""What an environment takes: `python -m benchmarks.memory KIND` prints MB a car, by itself."""

import subprocess
import sys

import gymnasium
import psutil

from worldmodels.environment.car_racing import DrawnCarRacing

CARS = 64
MAKERS = {
    "ours": DrawnCarRacing,
    "gymnasium": lambda: gymnasium.make("CarRacing-v3").unwrapped,
}


def measured() -> dict[str, float]:
    """MB a car of each kind, each in a process of its own."""
    commands = {kind: [sys.executable, "-m", "benchmarks.memory", kind] for kind in MAKERS}
    return {
        kind: float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        for kind, command in commands.items()
    }


def megabytes_a_car(kind: str) -> float:
    """What `CARS` environments take, each on a track of its own, over their number."""
    first = MAKERS[kind]()
    first.reset(seed=1)  # compiles, and loads what all share
    before = psutil.Process().memory_info().rss
    cars = [MAKERS[kind]() for _ in range(CARS)]
    for seed, car in enumerate(cars):
        car.reset(seed=50_000 + seed)
    return (psutil.Process().memory_info().rss - before) / len(cars) / 2**20


if __name__ == "__main__":
    print(megabytes_a_car(sys.argv[1]))
