"""The cores that a process may use, and the numbers that its environment variables set."""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from worldmodels.pipeline.errors import UserError


def number_from_environment(name: str, default: float, at_least: float = 0.0) -> float:
    """The number in the environment variable `name`; `default` if it is not set, or empty.

    Raises UserError if it holds anything else, or less than `at_least`.
    """
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    with suppress(ValueError):
        if at_least <= (number := float(text)) < math.inf:
            return number
    raise UserError(f"{name} is {text!r}: set it to a number, {at_least:g} or more, or unset it")


def available_cores(system: Path = Path("/")) -> int:
    """The number of cores that this process may keep busy: those it may run on (all, where the
    system does not say), but no more than the CPU quota of its container, rounded up.

    `system` is the root of the file system that describes them.
    """
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:  # macOS
        allowed = os.cpu_count() or 1
    return max(1, min([allowed, *map(math.ceil, _quotas(system))]))


def _quotas(system: Path) -> Iterator[float]:
    """CPU quotas, in cores, of the control groups (version 1 or 2) around this process."""
    try:
        lines = (system / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    mount = system / "sys/fs/cgroup"
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        for hierarchy in {mount, mount / "unified"} if not controllers else {mount / controllers}:
            group = hierarchy / path.strip("/")
            for folder in (group, *group.parents):  # a container may not see the outer ones
                if folder == mount.parent:
                    break
                yield from _quota(folder)


def _quota(folder: Path) -> Iterator[float]:
    """The CPU quota of one control group, in cores, if it has one."""
    with suppress(OSError, ValueError):
        quota, period = map(float, (folder / "cpu.max").read_text().split())  # or "max 100000"
        yield quota / period
    with suppress(OSError, ValueError):
        quota = float((folder / "cpu.cfs_quota_us").read_text())  # -1: none
        if quota > 0:
            yield quota / float((folder / "cpu.cfs_period_us").read_text())
