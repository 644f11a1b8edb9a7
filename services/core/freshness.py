"""Is who follows the log fresh, lagging or stuck? Pure: measurements in, a judgement out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Generic, Literal, Protocol, TypeVar

State = Literal["unknown", "fresh", "lagging", "stuck"]

FRESH_WITHIN = 2.0
"""Seconds that an event may wait before it counts: some are always on their way."""
LONGEST_STEP = 5.0
"""Seconds that pass at most between two measurements: a process that was paused is not stuck."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """`seconds` is the age of the oldest event that waits; `still`, for how long nothing moved.

    `stuck` names the partitions that have events and don't move.
    """

    state: State = "unknown"
    events: int = 0
    seconds: float = 0.0
    still: float = 0.0
    stuck: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "state": self.state,
            "events": self.events,
            "seconds": round(self.seconds, 3),
            **({"stillFor": round(self.still, 1), "stuck": list(self.stuck)} if self.stuck else {}),
        }

    def __str__(self) -> str:
        if self.state in ("unknown", "fresh"):
            return self.state
        waiting = f"{self.events} events, the oldest {self.seconds:.1f} s old"
        if self.state == "lagging":
            return f"lagging: {waiting}"
        return f"stuck: {waiting}; no move for {self.still:.0f} s on {', '.join(self.stuck)}"


UNKNOWN = Freshness()


class Waiting(Protocol):
    """What a measurement says of one partition; `oldest` in ms since 1970, None: not known."""

    @property
    def events(self) -> int: ...
    @property
    def oldest(self) -> int | None: ...


class Place(Protocol):
    """A partition."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    def __hash__(self) -> int: ...


P = TypeVar("P", bound=Place)


@dataclass(slots=True)
class _Watched:
    position: int
    waiting_since: float
    still: float = 0.0


@dataclass(slots=True)
class FreshnessMeter(Generic[P]):
    """Remembers what it has seen: stuck is who has events and did not move for `stuck_after` s.

    `now` is in seconds since 1970, `monotonic` in seconds.
    """

    stuck_after: float
    now: Callable[[], float]
    monotonic: Callable[[], float]
    fresh_within: float = FRESH_WITHIN
    _seen: dict[P, _Watched] = field(default_factory=dict)
    _last: float | None = None

    def measured(self, positions: Mapping[P, int], behind: Mapping[P, Waiting]) -> Freshness:
        """The judgement once each of `positions` is known to be `behind` so far."""
        now, step = self.now(), self._step()
        waiting = {
            p: self._watched(p, position, now, step)
            for p, position in positions.items()
            if behind[p].events
        }
        self._seen = waiting
        still = {p: state.still for p, state in waiting.items()}
        since = {p: state.waiting_since for p, state in waiting.items()}
        return judged(behind, still, now, self.stuck_after, self.fresh_within, since)

    def _step(self) -> float:
        at = self.monotonic()
        passed = 0.0 if self._last is None else min(at - self._last, LONGEST_STEP)
        self._last = at
        return passed

    def _watched(self, partition: P, position: int, now: float, step: float) -> _Watched:
        before = self._seen.get(partition)
        if before is None or before.position != position:
            return _Watched(position, now)
        return _Watched(position, before.waiting_since, before.still + step)


def judged(
    behind: Mapping[P, Waiting],
    still: Mapping[P, float],
    now: float,
    stuck_after: float,
    fresh_within: float = FRESH_WITHIN,
    since: Mapping[P, float] = MappingProxyType({}),
) -> Freshness:
    """What `behind` means at `now`, in seconds since 1970.

    `still` says for how many seconds a partition with events has not moved. One whose oldest event
    can't be read has waited `since` then, or, where nobody has watched, as long as it is still; an
    event can't have waited for longer than it is there.
    """
    waiting = {p: measured for p, measured in behind.items() if measured.events}
    if not waiting:
        return Freshness("fresh")
    ages = {
        p: now - (since.get(p, now - still[p]) if seen.oldest is None else seen.oldest / 1000)
        for p, seen in waiting.items()
    }
    seconds = max(0.0, *ages.values())
    stuck = [p for p in waiting if min(still[p], max(ages[p], 0.0)) >= stuck_after]
    return Freshness(
        "stuck" if stuck else "lagging" if seconds > fresh_within else "fresh",
        sum(measured.events for measured in waiting.values()),
        seconds,
        max(min(still[p], max(ages[p], 0.0)) for p in waiting),
        tuple(sorted(f"{p.topic}/{p.partition}" for p in stuck)),
    )
