"""That a command is still at work, told on a terminal once it takes a while and no bar is shown.

It turns in a thread of its own: also while a command does nothing but wait, or nothing but think.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

SILENT_FOR = 2.0
"""Seconds."""


class Activity:
    """Shown from `SILENT_FOR` on until `end`, with the time since the beginning."""

    def __init__(self, what: str) -> None:
        self._lock = threading.Lock()
        self._hidden = 0
        self._is_due = False
        self._is_shown = False
        self._shown = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._shown.add_task(what, total=None)
        self._timer = threading.Timer(SILENT_FOR, self._come_due)
        self._timer.daemon = True

    def begin(self) -> None:
        self._timer.start()

    def end(self) -> None:
        self._timer.cancel()
        self.hide()

    def name(self, what: str) -> None:
        """What it does now."""
        self._shown.update(self._task, description=what)

    def hide(self) -> None:
        """As long as something else is on the terminal."""
        with self._lock:
            self._hidden += 1
            if self._is_shown:
                self._is_shown = False
                self._shown.stop()

    def show(self) -> None:
        with self._lock:
            self._hidden -= 1
            self._show_if_due()

    def _come_due(self) -> None:
        with self._lock:
            self._is_due = True
            self._show_if_due()

    def _show_if_due(self) -> None:
        if self._is_due and not self._hidden:
            self._is_shown = True
            self._shown.start()


_current: Activity | None = None


@contextmanager
def activity(what: str) -> Iterator[None]:
    """Around all of a command's work."""
    global _current
    if not _is_terminal():
        yield
        return
    _current = Activity(what)
    _current.begin()
    try:
        yield
    finally:
        _current.end()
        _current = None


def _is_terminal() -> bool:
    return sys.stderr.isatty()


@contextmanager
def hidden() -> Iterator[None]:
    """Around what is printed, asked or shown meanwhile."""
    hide()
    try:
        yield
    finally:
        show()


def hide() -> None:
    if _current:
        _current.hide()


def show() -> None:
    if _current:
        _current.show()


def name_phase(what: str) -> None:
    """What the command does now, where nothing counts it."""
    if _current:
        _current.name(what)
