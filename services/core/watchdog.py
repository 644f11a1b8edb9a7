"""Ends a process whose event loop hangs: its partitions and jobs go to one that lives."""

import asyncio
import faulthandler
import sys
import threading
from collections.abc import Callable

from services.core.abrupt_end import end_process

_TICK = 1.0


class Watchdog:
    """A thread that counts its own ticks without a sign of life from the loop.

    Ticks and not the clock: a process that was paused as a whole has not hung.
    """

    def __init__(self, ticks: int, on_hang: Callable[[], None] | None = None) -> None:
        self._ticks = ticks
        self._on_hang = on_hang or _end
        self._beats = 0
        self._stopped = threading.Event()

    async def run(self) -> None:
        """Gives signs of life, for ever; the thread ends with it."""
        thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        thread.start()
        try:
            while True:
                self._beats += 1
                await asyncio.sleep(_TICK / 2)
        finally:
            self._stopped.set()

    def _watch(self) -> None:
        seen, silent = self._beats, 0
        while not self._stopped.wait(_TICK):
            silent = silent + 1 if self._beats == seen else 0
            seen = self._beats
            if silent >= self._ticks:
                self._on_hang()
                return


def _end() -> None:
    faulthandler.dump_traceback(sys.stderr)
    end_process("the event loop hangs")
