"""How much is worked on at once: what is beyond it waits for a moment, or is told to come back.

A server that takes on all that it is asked for ends with answering nobody in time. So a kind of
requests has `seats`; who finds none free waits, organizations taking turns. A wait is bounded; who
has to go is told so before anything was done for it. A queue that stands, and doesn't just come and
go, tells that more arrives than leaves (Nichols and Jacobson, "Controlling Queue Delay", 2012):
then the newest is next. Its answer comes in time, where the first in the queue would have its seat
just when its client gives up (Maurer, "Fail at Scale", 2015).

One organization never has all seats. When others have asked for something just now, it has its
part of a quarter of them: with fewer at work at once, everybody's take less long. How many of one
may wait depends on the room that is left (Choudhury and Hahne, "Dynamic Queue Length Thresholds for
Shared-Memory Packet Switches", 1998), so there is always room for another.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from prometheus_client import Counter as Metric

from services.api.errors import Overloaded
from services.core.turns import FairQueue

ACTIVE_FOR = 1.0
"""Seconds for which an organization counts as one that is here."""
LEAST = 2
"""Seats of an organization, however many there are."""
KEPT_FREE = 5
"""One of so many seats is never taken by the only organization."""
BESIDE_OTHERS = 4
"""Organizations that are here together share one of so many parts of the seats."""
STANDS = 10
"""After one of so many parts of the bound on a wait a queue that isn't empty stands."""

SHED = Metric("http_requests_shed_total", "Requests told to come back.", ["kind"])


@dataclass(frozen=True, slots=True)
class LoadBounds:
    """`seats` requests at once, `waiting` more of which each waits `patience` seconds at most."""

    seats: int
    waiting: int = 2_048
    patience: float = 1.0


class LoadLimit:
    """The seats of one kind of requests."""

    def __init__(self, kind: str, bounds: LoadBounds) -> None:
        self._shed = SHED.labels(kind)
        self._bounds = bounds
        self._taken = 0
        self._held: Counter[str] = Counter()
        self._queue: FairQueue[asyncio.Future[None]] = FairQueue()
        self._filled_at: dict[str, float] = {}
        self._active: OrderedDict[str, float] = OrderedDict()

    @property
    def taken(self) -> int:
        return self._taken

    async def enter(self, organization_id: str) -> None:
        """Takes a seat, to be given back with `leave`. Raises Overloaded."""
        now = _now()
        self._is_here(organization_id, now)
        if self._may_sit(organization_id):
            self._sit(organization_id)
            return
        room = self._bounds.waiting - len(self._queue)
        if self._queue.waiting_of(organization_id) >= room:
            raise self._overloaded()
        await self._wait(organization_id, now)

    def leave(self, organization_id: str) -> None:
        self._taken -= 1
        self._held[organization_id] -= 1
        if not self._held[organization_id]:
            del self._held[organization_id]
        self._seat_next(_now())

    def _is_here(self, organization_id: str, now: float) -> None:
        self._active[organization_id] = now
        self._active.move_to_end(organization_id)
        while next(iter(self._active.values())) < now - ACTIVE_FOR:
            self._active.popitem(last=False)

    def _may_sit(self, organization_id: str) -> bool:
        seats = self._bounds.seats
        return self._taken < seats and self._held[organization_id] < self._share()

    def _share(self) -> int:
        seats, organizations = self._bounds.seats, len(self._active)
        if organizations <= 1:
            return seats - seats // KEPT_FREE
        return max(LEAST, seats // (BESIDE_OTHERS * organizations))

    def _sit(self, organization_id: str) -> None:
        self._taken += 1
        self._held[organization_id] += 1

    async def _wait(self, organization_id: str, now: float) -> None:
        seat: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not self._queue.waiting_of(organization_id):
            self._filled_at[organization_id] = now
        self._queue.put(organization_id, seat)
        try:
            async with asyncio.timeout(self._bounds.patience):
                await seat
        except (TimeoutError, asyncio.CancelledError) as fault:
            if seat.done() and not seat.cancelled():
                self.leave(organization_id)
            self._queue.drop_first(organization_id, _is_gone)
            self._note_empty(organization_id)
            if isinstance(fault, TimeoutError):
                raise self._overloaded() from None
            raise

    def _seat_next(self, now: float) -> None:
        for organization_id in self._queue.organizations():
            if self._taken >= self._bounds.seats:
                return
            while self._may_sit(organization_id) and self._queue.waiting_of(organization_id):
                stands = now - self._filled_at[organization_id] > self._bounds.patience / STANDS
                seat = self._queue.take_of(organization_id, newest=stands)
                self._note_empty(organization_id)
                if not _is_gone(seat):
                    self._sit(organization_id)
                    seat.set_result(None)

    def _note_empty(self, organization_id: str) -> None:
        if not self._queue.waiting_of(organization_id):
            self._filled_at.pop(organization_id, None)

    def _overloaded(self) -> Overloaded:
        self._shed.inc()
        return Overloaded()


class Seat:
    """One request's part in the limit; it has none while the client or something else is waited
    for."""

    __slots__ = ("_is_taken", "_limit", "_organization_id")

    def __init__(self, limit: LoadLimit, organization_id: str) -> None:
        self._limit = limit
        self._organization_id = organization_id
        self._is_taken = False

    async def take(self) -> None:
        """Raises Overloaded."""
        await self._limit.enter(self._organization_id)
        self._is_taken = True

    def leave(self) -> None:
        """Whoever has none does nothing."""
        if self._is_taken:
            self._is_taken = False
            self._limit.leave(self._organization_id)

    @asynccontextmanager
    async def left(self) -> AsyncIterator[None]:
        """Without it in the block. Raises Overloaded behind it."""
        self.leave()
        yield
        await self.take()


@dataclass(frozen=True, slots=True)
class LoadLimits:
    """Each kind has its own, so that neither starves the other."""

    reads: LoadLimit
    writes: LoadLimit


def _is_gone(seat: "asyncio.Future[None]") -> bool:
    return seat.done()


def _now() -> float:
    return asyncio.get_running_loop().time()
