"""Time things side by side: the same machine, the same minutes, one after the other in turn."""

import time
from collections.abc import Callable, Mapping
from statistics import median

Work = Callable[[], float]  # does some work and says how many units it was


def rates(works: Mapping[str, Work], rounds: int) -> dict[str, float]:
    """Units a second of each kind of work: the median over `rounds`, taken in turn.

    Each is run once before, so that nothing is compiled or allocated while it is timed.
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
