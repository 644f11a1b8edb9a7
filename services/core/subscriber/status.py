"""How a subscriber is doing: fresh, lagging or stuck, and what stands in its way."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from .places import Partition

FRESH_WITHIN = 5.0
STUCK_AFTER = 30.0


class Health(StrEnum):
    STARTING = "starting"
    FRESH = "fresh"
    LAGGING = "lagging"
    STUCK = "stuck"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Status:
    """`seconds_behind` is the age of the oldest record that waits, as far as that is known: it came
    after the last one that was taken, and since there was last nothing to take. 0 if none waits.

    `fault` is what everything waits for just now, if anything; parked streams are no fault of the
    others. A lagging subscriber is not helped by a restart, so let no probe restart it.
    """

    health: Health
    events_behind: int
    seconds_behind: float
    parked_streams: int
    assigned: frozenset[Partition]
    fault: str | None


@dataclass(slots=True)
class Progress:
    """What the loop notes down, and `Status` is told from."""

    clock: Callable[[], datetime]
    is_running: bool = False
    has_joined: bool = False
    assigned: frozenset[Partition] = frozenset()
    lag: dict[Partition, int] = field(default_factory=dict)
    newest: dict[Partition, int] = field(default_factory=dict)
    idle_at: dict[Partition, datetime] = field(default_factory=dict)
    behind_since: dict[Partition, datetime] = field(default_factory=dict)
    parked_streams: int = 0
    fault: str | None = None
    fault_since: datetime | None = None
    moved_at: datetime | None = None
    terms: int = 0

    def moved(self) -> None:
        self.moved_at = self.clock()

    def measured(self, lag: Mapping[Partition, int]) -> None:
        if not any(self.lag.values()):  # what lay there until now was no hold-up
            self.moved()
        self.lag = dict(lag)
        now = self.clock()
        for place, events in lag.items():
            if events:
                self.behind_since.setdefault(place, now)
            else:
                self.idle_at[place] = now
                self.behind_since.pop(place, None)

    def took(self, partition: Partition, timestamp: int) -> None:
        self.newest[partition] = timestamp
        self.fault = self.fault_since = None
        self.moved()

    def cannot(self, fault: Exception) -> None:
        self.fault = f"{type(fault).__name__}: {fault}"
        self.fault_since = self.fault_since or self.clock()

    def works(self) -> None:
        self.fault = self.fault_since = None

    def assign(self, partitions: frozenset[Partition]) -> None:
        self.assigned, self.has_joined = partitions, True
        for of_place in (self.lag, self.newest, self.idle_at, self.behind_since):
            for gone in of_place.keys() - partitions:
                del of_place[gone]
        self.moved()

    def status(self) -> Status:
        behind = sum(self.lag.values())
        seconds = self._seconds_behind()
        return Status(
            self._health(behind, seconds),
            behind,
            seconds,
            self.parked_streams,
            self.assigned,
            self.fault,
        )

    def _seconds_behind(self) -> float:
        now = self.clock().timestamp()
        return max((now - self._waits_since(place) for place in self.behind_since), default=0.0)

    def _waits_since(self, place: Partition) -> float:
        """When the oldest record that waits may have come at the earliest; at the latest, while
        nothing was taken yet and there was always something."""
        known = [self.idle_at[place].timestamp()] if place in self.idle_at else []
        if place in self.newest:
            known.append(self.newest[place] / 1000)
        return min(self.clock().timestamp(), max(known or [self.behind_since[place].timestamp()]))

    def _health(self, behind: int, seconds: float) -> Health:
        if not self.is_running:
            return Health.STOPPED
        if self._longer_than(STUCK_AFTER, self.fault_since):
            return Health.STUCK
        if not self.has_joined:
            return Health.STARTING
        if behind and self._longer_than(STUCK_AFTER, self.moved_at):
            return Health.STUCK
        if self.fault or (behind and seconds > FRESH_WITHIN):
            return Health.LAGGING
        return Health.FRESH

    def _longer_than(self, seconds: float, since: datetime | None) -> bool:
        return since is not None and (self.clock() - since).total_seconds() > seconds
