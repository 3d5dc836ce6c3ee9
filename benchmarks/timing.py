"""Compare speeds fairly: on the same machine, in the same minutes, taking turns."""

import time
from collections.abc import Callable, Mapping
from statistics import median

Work = Callable[[], float]  # does some work and returns how many units it was


def rates(works: Mapping[str, Work], rounds: int) -> dict[str, float]:
    """Return units per second of each kind of work: the median over `rounds`, taken in turn.

    Each runs once untimed first, so that nothing is compiled or allocated while it is timed.
    """
    measured: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    for _ in range(rounds):
        for name, work in works.items():
            started = time.perf_counter()
            units = work()
            measured[name].append(units / (time.perf_counter() - started))
    return {name: median(values) for name, values in measured.items()}
