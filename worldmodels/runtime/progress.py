"""How far long work is: a bar with speed and time left on a terminal, plain lines in a log."""

import sys
import time
from types import TracebackType

from tqdm import tqdm

SECONDS_A_LINE = 20.0


class Progress:
    """Counts `total` units of work; used as a context manager."""

    def __init__(self, title: str, total: int, unit: str, before: int = 0):
        """`before`: how many an earlier process has done."""
        self.title, self.total, self.unit = title, total, unit
        self.done, self.before, self.started = before, before, time.monotonic()
        self.line_due = self.started + SECONDS_A_LINE
        self.note = ""
        on_terminal = sys.stderr.isatty()
        self.bar = (
            tqdm(
                total=total,
                initial=before,
                desc=title,
                unit=unit,
                unit_scale=True,
                dynamic_ncols=True,
            )
            if on_terminal
            else None
        )

    def __enter__(self) -> "Progress":
        return self

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count `count` more units; `note` says how the work is going."""
        self.done += count
        self.note = note or self.note
        if self.bar is not None:
            self.bar.set_postfix_str(self.note, refresh=False)
            self.bar.update(count)
        elif time.monotonic() >= self.line_due:
            self.line_due = time.monotonic() + SECONDS_A_LINE
            self._line()

    def seconds(self) -> float:
        """Seconds since the work began."""
        return max(time.monotonic() - self.started, 1e-9)

    def _line(self) -> None:
        seconds = self.seconds()
        speed = (self.done - self.before) / seconds
        left = (self.total - self.done) / speed if speed else float("inf")
        print(
            f"{self.title}: {self.done}/{self.total} {self.unit}, {speed:.3g} {self.unit}/s, "
            f"{seconds:.0f} s gone, {left:.0f} s left {self.note}".rstrip(),
            file=sys.stderr,
            flush=True,
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.bar is not None:
            self.bar.close()
        else:
            self._line()
