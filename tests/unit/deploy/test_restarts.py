from __future__ import annotations

import errno
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.errors import PortInUseError
from deploy.local.restarts import LONGEST_DELAY_SECONDS, STEADY_SECONDS, Restarts


@dataclass
class FakePart:
    log: Path = Path("part.log")
    exit_status: int | None = -9
    runs: bool = False
    starts: int = 0
    faults: list[Exception] = field(default_factory=list)

    def is_running(self) -> bool:
        return self.runs

    def begin(self) -> None:
        self.starts += 1
        if self.faults:
            raise self.faults.pop(0)
        self.runs = True


class Watched:
    def __init__(self) -> None:
        self.part = FakePart()
        self.now = 1000.0
        self.said: list[str] = []
        self.restarts = Restarts("Kafka", self.part, self.said.append, lambda: self.now)

    def after(self, seconds: float) -> None:
        self.now += seconds
        self.restarts.check()

    def until_restarted(self) -> float:
        """How long a part that has ended stays away."""
        self.part.runs = False
        self.restarts.check()
        begun, starts = self.now, self.part.starts
        while self.part.starts == starts:
            self.after(0.25)
        return self.now - begun


def test_what_ends_is_started_again_and_both_are_said() -> None:
    watched = Watched()

    assert watched.until_restarted() == 0.5
    assert watched.said == [
        "Kafka ended with -9; starting it again in 0.5 s. Its log: part.log",
        "Kafka was started again.",
    ]


def test_what_runs_is_left_alone() -> None:
    watched = Watched()
    watched.part.runs = True

    watched.after(1000)

    assert (watched.part.starts, watched.said) == (0, [])


def test_each_delay_is_twice_the_last_up_to_a_limit() -> None:
    watched = Watched()

    delays = [watched.until_restarted() for _ in range(8)]

    assert delays == [0.5, 1, 2, 4, 8, 16, LONGEST_DELAY_SECONDS, LONGEST_DELAY_SECONDS]


def test_what_ran_for_long_begins_with_a_short_delay() -> None:
    watched = Watched()
    for _ in range(4):
        watched.until_restarted()

    watched.after(STEADY_SECONDS + 1)

    assert watched.until_restarted() == 0.5


def test_a_start_that_fails_is_said_and_tried_again_later() -> None:
    watched = Watched()
    watched.part.faults = [
        PortInUseError(9092, "Kafka"),
        OSError(errno.ENOSPC, "No space left on device"),
    ]

    delays = [watched.until_restarted(), watched.until_restarted(), watched.until_restarted()]

    assert delays == [0.5, 1, 2]
    assert watched.said[1].startswith("Kafka did not start: Port 9092 (Kafka) is already in use;")
    assert "No space left" in watched.said[2]
    assert watched.said[3] == "Kafka was started again."
