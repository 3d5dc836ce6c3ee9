"""What every stage does around its work: arguments, params, threads, errors, time taken."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

from worldmodels.errors import UserError
from worldmodels.params import Count, Part, SectionType, load
from worldmodels.storage import read_csv, write_csv

COSTS = Path("results/costs.csv")


class Device(Part):
    device: str


class Machine(Device):
    threads: Count


def run(name: str, section: type[SectionType], main: Callable[[str, SectionType], None]) -> None:
    """Run a stage on the round named on the command line; errors of the user end with code 1."""
    parser = argparse.ArgumentParser(prog=f"python -m stages.{name}")
    parser.add_argument("round", help="an entry of `rounds` in params.yaml")
    round_name = parser.parse_args().round
    started = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(f"{name}@{round_name}: terminated"))
    try:
        main(round_name, load(section, round_name))
    except UserError as error:
        sys.exit(f"{name}@{round_name}: {error}")
    except KeyboardInterrupt:
        sys.exit(f"{name}@{round_name}: interrupted")
    note_cost(COSTS, name, round_name, time.monotonic() - started)


def prepare(device: str, threads: int = 1) -> torch.device:
    """Fix what the bits of a result depend on. Raises UserError if the device is not there."""
    torch.set_num_threads(threads)
    threadpool_limits(threads)  # those of numpy and what is built on it
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"params.yaml: machine.device is {device!r}: not usable here: {reason}"
        ) from None
    return torch.device(device)


def note_cost(path: Path, stage: str, round_name: str, seconds: float) -> None:
    """Write down what a stage took, in a file that is no output of DVC: time does not repeat.

    Core-hours are those of all the cores it may use, busy or not.
    """
    cores = len(os.sched_getaffinity(0))
    cost = {
        "stage": stage,
        "round": round_name,
        "seconds": f"{seconds:.0f}",
        "core_hours": f"{seconds * cores / 3600:.3f}",
        "processor": f"{processor()}, {cores} cores",
    }
    try:
        rows = read_csv(path) if path.exists() else []
        rows = [row for row in rows if (row["stage"], row["round"]) != (stage, round_name)]
        write_csv(path, [*rows, cost])
    except (UserError, KeyError, ValueError) as error:  # never fail a stage that is done over this
        print(f"{path}: the cost of {stage} could not be noted: {error}", file=sys.stderr)


def processor() -> str:
    """The processor's name as Linux gives it, or the architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else os.uname().machine
