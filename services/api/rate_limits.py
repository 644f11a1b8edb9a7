"""Rate limits: how many requests of each class a key may make within any minute.

A sliding window, counted in this process; `rate_limit_exchange` adds what the others counted.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from multidict import istr

from services.api.errors import RateLimited
from services.core.controlplane import ApiKey, Tier

LimitClass = Literal["read", "write", "long"]
Moment = float
"""Seconds of a clock that never goes back."""

WINDOW = 60
"""Seconds."""
GRAIN = 1.0
"""Requests less than so many seconds apart may share a slot, and then leave the window together."""

LIMITS: Mapping[Tier, Mapping[LimitClass, int]] = MappingProxyType(
    {
        "standard": {"read": 120, "write": 60, "long": 20},
        "pilot": {"read": 1_200, "write": 600, "long": 60},
        "partner": {"read": 6_000, "write": 3_000, "long": 300},
        "internal": {},
    }
)
NAMES: Mapping[LimitClass, str] = MappingProxyType(
    {"read": "read", "write": "write", "long": "long-running"}
)

_CLASS = istr("X-RateLimit-Endpoint-Class")
_LIMIT = istr("X-RateLimit-Limit")
_REMAINING = istr("X-RateLimit-Remaining")
_RESET = istr("X-RateLimit-Reset")
_POLICY = istr("RateLimit-Policy")
_STATE = istr("RateLimit")


class Slot:
    """Requests that leave the window together: `WINDOW` seconds after the last of them."""

    __slots__ = ("count", "last", "opened", "unpublished")

    def __init__(self, opened: Moment) -> None:
        self.opened = opened
        self.last = opened
        self.count = 0
        self.unpublished = 0


class Window:
    """The requests of one key and class that count just now. Moments never go back."""

    __slots__ = ("_slots", "used")

    def __init__(self) -> None:
        self.used = 0
        self._slots: deque[Slot] = deque()

    @property
    def is_empty(self) -> bool:
        return not self._slots

    def forget(self, now: Moment) -> None:
        """Lets go of what no longer counts at `now`."""
        slots = self._slots
        while slots and (slots[0].last + WINDOW <= now or not slots[0].count):
            gone = slots.popleft()
            self.used -= gone.count
            gone.count = 0

    def charge(self, now: Moment, count: int = 1) -> Slot:
        """Counts `count` requests, and gives what `give_back` takes."""
        slot = self._slots[-1] if self._slots else None
        if slot is None or now - slot.opened >= GRAIN:
            slot = Slot(now)
            self._slots.append(slot)
        slot.last = max(slot.last, now)
        slot.count += count
        self.used += count
        return slot

    def give_back(self, slot: Slot) -> bool:
        """Counts one request of `slot` no more; whether it still counted."""
        if not slot.count:
            return False
        slot.count -= 1
        self.used -= 1
        return True

    def give_back_latest(self, count: int) -> None:
        for slot in reversed(self._slots):
            taken = min(slot.count, count)
            slot.count -= taken
            self.used -= taken
            count -= taken

    def seconds_to_reset(self, now: Moment, limit: int) -> int:
        """After how many seconds one more request would be left than is left now; 0 when all are.

        With none left, that is when the next request will be admitted.
        """
        leaving = max(self.used - limit + 1, 1)
        for slot in self._slots:
            leaving -= slot.count
            if leaving <= 0:
                return min(max(math.ceil(slot.last + WINDOW - now), 1), WINDOW)
        return 0

    def take_unpublished(self) -> int:
        taken = sum(slot.unpublished for slot in self._slots)
        for slot in self._slots:
            slot.unpublished = 0
        return taken


WindowKey = tuple[str, LimitClass]
"""The key's id, and the class."""


@dataclass(slots=True)
class RateLimits:
    """Every key's windows. In memory as long as one of their requests counts."""

    clock: Callable[[], Moment]
    _windows: dict[WindowKey, Window] = field(default_factory=dict)
    _unpublished: set[WindowKey] = field(default_factory=set)

    def allowance(self, key: ApiKey, limit_class: LimitClass) -> "Allowance":
        """What `key` may do now; nothing is charged yet."""
        return Allowance(self, key.key_id, limit_class, LIMITS[key.tier].get(limit_class))

    def window(self, window_key: WindowKey, now: Moment) -> Window:
        window = self._windows.get(window_key)
        if window is None:
            window = self._windows[window_key] = Window()
        else:
            window.forget(now)
        return window

    def mark_unpublished(self, window_key: WindowKey) -> None:
        self._unpublished.add(window_key)

    def take_unpublished(self) -> list[tuple[str, LimitClass, int]]:
        """What was charged here since the last call, for the other replicas."""
        changed, self._unpublished = self._unpublished, set()
        taken = [
            (*key, window.take_unpublished())
            for key in changed
            if (window := self._windows.get(key))
        ]
        return [charged for charged in taken if charged[2]]

    def add_published(self, key_id: str, limit_class: LimitClass, count: int) -> None:
        """Counts what another replica has charged; below zero, what it has given back."""
        now = self.clock()
        window = self.window((key_id, limit_class), now)
        if count > 0:
            window.charge(now, count)
        else:
            window.give_back_latest(-count)

    def forget(self) -> None:
        """Drops the windows in which nothing counts any more."""
        now = self.clock()
        for window_key, window in list(self._windows.items()):
            window.forget(now)
            if window.is_empty:
                del self._windows[window_key]

    @property
    def window_count(self) -> int:
        return len(self._windows)


class Allowance:
    """One request's part in the limit of its key and class; None: there is no limit."""

    __slots__ = ("_key", "_limit", "_limits", "_refused_at", "_slot", "_window")

    def __init__(
        self, limits: RateLimits, key_id: str, limit_class: LimitClass, limit: int | None
    ) -> None:
        self._limits = limits
        self._key = (key_id, limit_class)
        self._limit = limit
        self._window: Window | None = None
        self._slot: Slot | None = None
        self._refused_at: Moment | None = None

    def charge(self) -> None:
        """Raises RateLimited, and counts nothing then."""
        if self._limit is None:
            return
        now = self._limits.clock()
        window = self._window = self._limits.window(self._key, now)
        if window.used >= self._limit:
            self._refused_at = now
            raise RateLimited(
                f"More than {self._limit} {NAMES[self._key[1]]} requests in a minute.",
                retry_after=window.seconds_to_reset(now, self._limit),
            )
        self._slot = window.charge(now)
        self._slot.unpublished += 1
        self._limits.mark_unpublished(self._key)

    def give_back(self) -> None:
        """The request costs nothing after all."""
        slot, self._slot = self._slot, None
        if slot and self._window and self._window.give_back(slot):
            slot.unpublished -= 1
            self._limits.mark_unpublished(self._key)

    def headers(self) -> Mapping[istr, str]:
        """X-RateLimit-*, and the fields of draft-ietf-httpapi-ratelimit-headers-10.

        Without a limit, the class alone.
        """
        name = NAMES[self._key[1]]
        if self._limit is None:
            return _UNLIMITED[name]
        now = self._limits.clock() if self._refused_at is None else self._refused_at
        window = self._window or self._limits.window(self._key, now)
        window.forget(now)
        limit = str(self._limit)
        remaining = max(self._limit - window.used, 0)
        reset = window.seconds_to_reset(now, self._limit)
        return {
            _LIMIT: limit,
            _REMAINING: str(remaining),
            _RESET: str(reset),
            _CLASS: name,
            _POLICY: f'"{name}";q={limit};w={WINDOW}',
            _STATE: f'"{name}";r={remaining};t={reset}',
        }


_UNLIMITED = MappingProxyType({name: MappingProxyType({_CLASS: name}) for name in NAMES.values()})
