"""Progress of long work: a bar with speed and remaining time on a terminal, lines in a log."""

import sys
import time
from types import TracebackType

from tqdm import tqdm

SECONDS_PER_LINE = 20.0


class Progress:
    """Counts `total` units of work; a context manager.

    The total is an upper limit: what goes beyond it, such as a padded batch, is not shown, and
    work that finishes early, such as an episode, ends with what was done as its total.
    """

    def __init__(self, title: str, total: int, unit: str, before: int = 0):
        """`before`: units done by an earlier process."""
        self.title, self.total, self.unit = title, total, unit
        before = min(before, total)
        self.done, self.before, self.started = before, before, time.monotonic()
        self.line_due = self.started + SECONDS_PER_LINE
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
        """Count `count` more units; `note` describes the state of the work."""
        count = min(count, self.total - self.done)
        self.done += count
        self.note = note or self.note
        if self.bar is not None:
            self.bar.set_postfix_str(self.note, refresh=False)
            self.bar.update(count)
        elif time.monotonic() >= self.line_due:
            self.line_due = time.monotonic() + SECONDS_PER_LINE
            self._line()

    def seconds(self) -> float:
        """Seconds since the work began."""
        return max(time.monotonic() - self.started, 1e-9)

    def _line(self) -> None:
        seconds = self.seconds()
        parts = [f"{self.title}: {self.done}/{self.total} {self.unit}"]
        if speed := (self.done - self.before) / seconds:
            parts.append(f"{speed:.3g} {self.unit}/s")
        parts.append(f"{seconds:.0f} s elapsed")
        if speed and self.done < self.total:
            parts.append(f"{(self.total - self.done) / speed:.0f} s remaining")
        print(f"{', '.join(parts)} {self.note}".rstrip(), file=sys.stderr, flush=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:  # the work is done, however much there was of it
            self.total = self.done
        if self.bar is not None:
            self.bar.total = self.total
            self.bar.refresh()
            self.bar.close()
        else:
            self._line()
