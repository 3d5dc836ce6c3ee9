"""The frame around the work of every stage: arguments, params, threads, errors, provenance."""

import argparse
import time
from collections.abc import Callable

import torch
from threadpoolctl import threadpool_limits

from worldmodels.pipeline.errors import UserError, user_errors
from worldmodels.pipeline.params import Count, Part, SectionType, load
from worldmodels.pipeline.portability import make_portable
from worldmodels.pipeline.provenance import RUNS, note_run


class Device(Part):
    """The keys of `machine` that every stage with a network reads."""

    device: str
    portable: bool


class Machine(Device):
    """The keys of `machine` that every stage which trains or encodes reads."""

    threads: Count


def run(name: str, section: type[SectionType], main: Callable[[str, SectionType], None]) -> None:
    """Run a stage on the world or round named on the command line.

    A UserError ends it with code 1.
    """
    entry = parse_entry(name)
    with user_errors(f"{name}@{entry}"):
        started = time.monotonic()
        main(entry, load_params(section, entry))
    note_run(RUNS, name, entry, time.monotonic() - started)


def run_without_round(
    name: str, section: type[SectionType], main: Callable[[SectionType], None]
) -> None:
    """Run a stage that belongs to no world and no round; a UserError ends it with code 1."""
    argparse.ArgumentParser(prog=f"python -m stages.{name}").parse_args()
    with user_errors(name):
        main(load(section, None))


def parse_entry(name: str) -> str:
    """The world or round named on the command line of the stage `name`."""
    parser = argparse.ArgumentParser(prog=f"python -m stages.{name}")
    parser.add_argument("entry", nargs="+", help="of `worlds` or `rounds` in params.yaml")
    return " ".join(parser.parse_args().entry)  # a name with spaces, which `load` refuses


def load_params(section: type[SectionType], entry: str) -> SectionType:
    """The params of a stage; under `machine.portable` the process may restart first."""
    params = load(section, entry)
    machine = getattr(params, "machine", None)
    if isinstance(machine, Device) and machine.portable:
        make_portable(params.model_dump())
    return params


def prepare(device: str, threads: int = 1) -> torch.device:
    """Set threads and determinism, on which the bits of a result depend; returns the device.

    Raises UserError if there is no such device.
    """
    torch.set_num_threads(threads)
    threadpool_limits(threads)  # of numpy and what is built on it
    # As use_deterministic_algorithms(True, warn_only=True), without importing torch's compiler,
    # which takes a second of every stage
    torch.set_deterministic_debug_mode("warn")
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"params.yaml: machine.device is {device!r}, not usable here: {reason}"
        ) from None
    return torch.device(device)
