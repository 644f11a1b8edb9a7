"""How far a long command has come, told on standard error once it takes a while."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from services.ops.activity import SILENT_FOR, hide, show

LINE_EVERY = 5.0


class Meter:
    """Counts what is done, in `unit`; shown as a bar on a terminal, else as a line now and then.

    `total` is None where nobody knows how much there is.
    """

    def __init__(self, what: str, total: int | None, unit: str, clock: Callable[[], float]) -> None:
        self.total = total
        self.what = what
        self._unit = unit
        self._clock = clock
        self._begun = clock()
        self._done = 0
        self._next_line = self._begun + SILENT_FOR
        self._is_terminal = sys.stderr.isatty()
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def advance(self, count: int = 1) -> None:
        self.reach(self._done + count)

    def reach(self, done: int) -> None:
        self._done = done
        if self._clock() < self._next_line:
            return
        if self._is_terminal:
            self._show_bar()
        else:
            self._next_line = self._clock() + LINE_EVERY
            sys.stderr.write(f"{self.line()}\n")
            sys.stderr.flush()

    def line(self) -> str:
        """E.g. `reading the log: 12,000 of 50,000 events, 8,000/s, 5 s left`."""
        rate = self._done / max(self._clock() - self._begun, 1e-9)
        if self.total is None:
            return f"{self.what}: {self._done:,} {self._unit}, {rate:,.0f}/s"
        left = max(0, self.total - self._done) / rate if rate else float("inf")
        done = f"{self._done:,} of {self.total:,} {self._unit}"
        return f"{self.what}: {done}, {rate:,.0f}/s, {left:.0f} s left"

    def make_way(self) -> None:
        """Before something is written to the same terminal; the bar comes back after a while."""
        if self._bar is not None:
            self.end()
            self._next_line = self._clock() + SILENT_FOR

    def end(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
            show()

    def _show_bar(self) -> None:
        if self._bar is None:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
                # Or what others write to standard output while the bar is shown would go here.
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._task = self._bar.add_task(self.what, total=self.total, rate="")
            hide()
            self._bar.start()
        rate = self._done / max(self._clock() - self._begun, 1e-9)
        self._bar.update(
            self._task,
            description=self.what,
            completed=self._done,
            total=self.total,
            rate=f"{rate:,.0f} {self._unit}/s",
        )


@contextmanager
def progress(
    what: str,
    total: int | None = None,
    *,
    unit: str = "events",
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Meter]:
    """A meter for the block; nothing is shown of what takes less than two seconds."""
    meter = Meter(what, total, unit, clock)
    try:
        yield meter
    finally:
        meter.end()
