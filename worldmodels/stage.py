"""What every stage does around its work: arguments, params, threads, errors, time taken."""

import argparse
import signal
import sys
import time
from collections.abc import Callable

import torch
from threadpoolctl import threadpool_limits

from worldmodels.checkpoint import Checkpoint
from worldmodels.errors import UserError
from worldmodels.params import Count, Part, SectionType, load
from worldmodels.portability import make_portable
from worldmodels.provenance import RUNS, note_run


class Device(Part):
    device: str
    portable: bool


class Machine(Device):
    threads: Count


def run(name: str, section: type[SectionType], main: Callable[[str, SectionType], None]) -> None:
    """Run a stage on the round named on the command line; errors of the user end with code 1."""
    run_long(name, section, lambda round_name, params, _: main(round_name, params), None)


def run_long(
    name: str,
    section: type[SectionType],
    main: Callable[[str, SectionType, Checkpoint], None],
    apart_from: tuple[str, ...] | None = (),
) -> None:
    """Run a stage that goes on from its checkpoint if it was stopped; see `Checkpoint.of`."""
    parser = argparse.ArgumentParser(prog=f"python -m stages.{name}")
    parser.add_argument("round", help="an entry of `rounds` in params.yaml")
    round_name = parser.parse_args().round
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(f"{name}@{round_name}: terminated"))
    checkpoint = Checkpoint(None)
    try:
        params = load(section, round_name)
        machine = getattr(params, "machine", None)
        if isinstance(machine, Device) and machine.portable:
            make_portable(params.model_dump())
        if apart_from is not None:
            named = tuple(key.replace("${key}", round_name) for key in apart_from)
            checkpoint = Checkpoint.of(name, round_name, named)
        with checkpoint:
            main(round_name, params, checkpoint)
    except UserError as error:
        sys.exit(f"{name}@{round_name}: {error}")
    except KeyboardInterrupt:
        sys.exit(f"{name}@{round_name}: interrupted")
    seconds = checkpoint.seconds_before + time.monotonic() - checkpoint.started
    note_run(RUNS, name, round_name, seconds)


def run_alone(name: str, section: type[SectionType], main: Callable[[SectionType], None]) -> None:
    """Run a stage that belongs to no round; errors of the user end with code 1."""
    argparse.ArgumentParser(prog=f"python -m stages.{name}").parse_args()
    try:
        main(load(section, None))
    except UserError as error:
        sys.exit(f"{name}: {error}")


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
