"""Starts again what ends by itself, with growing delays."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from deploy.local.errors import LocalStackError

FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 30.0
# What ran this long is healthy: its next failure starts with a short delay again.
STEADY_SECONDS = 60.0


class Part(Protocol):
    """What is kept running: a service, Kafka or Postgres."""

    @property
    def log(self) -> Path: ...

    @property
    def exit_status(self) -> int | None: ...

    def is_running(self) -> bool: ...

    def begin(self) -> None:
        """Start it and don't wait. Raises LocalStackError and OSError."""


class Restarts:
    """Of one part that was started already; `check` is called again and again and never waits."""

    def __init__(
        self,
        name: str,
        part: Part,
        announce: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._part = part
        self._announce = announce
        self._clock = clock
        self._delay = FIRST_DELAY_SECONDS
        self._started_at = clock()
        self._restart_at: float | None = None

    def check(self) -> None:
        if self._part.is_running():
            return
        if self._restart_at is None:
            self._plan(f"ended with {self._part.exit_status}")
        elif self._clock() >= self._restart_at:
            self._start()

    def _plan(self, reason: str) -> None:
        steady = self._clock() - self._started_at > STEADY_SECONDS
        self._delay = FIRST_DELAY_SECONDS if steady else self._delay
        self._restart_at = self._clock() + self._delay
        self._announce(
            f"{self._name} {reason}; starting it again in {self._delay:g} s. "
            f"Its log: {self._part.log}"
        )
        self._delay = min(self._delay * 2, LONGEST_DELAY_SECONDS)

    def _start(self) -> None:
        self._started_at = self._clock()
        try:
            self._part.begin()
        except LocalStackError as error:
            self._plan(f"did not start: {error.problem.rstrip('.')}")
        except OSError as error:
            self._plan(f"did not start: {error}")
        else:
            self._restart_at = None
            self._announce(f"{self._name} was started again.")
