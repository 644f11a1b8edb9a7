"""Records into effects: what becomes of each, all of it in transactions of the store.

Knows nothing of Kafka. A stream that can't go on is parked with its later events, in order, and
tried again when its time has come; no other stream waits for it.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Generic

from schemas.events import EventData

from .faults import (
    FaultKind,
    GapDetected,
    HandlerFailed,
    Poison,
    PositionMoved,
    StoreUnavailable,
    StreamFault,
    TryLater,
)
from .handlers import Effects, Handlers
from .observer import Observer
from .places import Partition, StreamKey
from .records import Arrival, Received, Record, arrival_of, received
from .store import Parking, Position, Store, StreamState, Transaction

log = logging.getLogger(__name__)

DRAIN_LIMIT = 100


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, and after how many seconds, an event whose handler raised is tried again.

    After the last of `delays` its stream stays parked until somebody retries or skips.
    """

    delays: Sequence[float] = (0.2, 1.0, 5.0, 30.0, 120.0)

    def next_attempt(self, attempts: int, now: datetime) -> datetime | None:
        """When to try after that many `attempts`; None: not by itself."""
        if attempts > len(self.delays):
            return None
        return now + timedelta(seconds=self.delays[attempts - 1])


@dataclass(slots=True)
class _Slice(Generic[Effects]):
    """One transaction under way: what to write at its end, and whom to tell after its commit."""

    transaction: Transaction[Effects]
    positions: dict[Partition, Position]
    states: dict[StreamKey, StreamState]
    changed: dict[StreamKey, StreamState] = field(default_factory=dict)
    moved: dict[Partition, Position] = field(default_factory=dict)
    parked: list[Record] = field(default_factory=list)
    unparked: list[Record] = field(default_factory=list)
    tell: list[Callable[[], None]] = field(default_factory=list)

    def state_of(self, record: Record) -> StreamState:
        return self.states.get(record.stream, StreamState(record.partition))

    def set(self, stream: StreamKey, state: StreamState) -> None:
        self.states[stream] = self.changed[stream] = state

    def expects_first(self, record: Record) -> bool:
        return self.positions[record.place].is_whole

    def pass_over(self, record: Record) -> None:
        was = self.positions[record.place]
        self.moved[record.place] = Position(record.offset + 1, was.is_whole)

    async def write(self) -> None:
        if self.changed:
            await self.transaction.save(self.changed)
        if self.parked:
            await self.transaction.park(self.parked)
        if self.unparked:
            await self.transaction.unpark(self.unparked)
        if self.moved:
            await self.transaction.move(self.moved)


class _NeedsIsolation(Exception):
    """The transaction can't be committed as a whole: find out which event it is."""

    def __init__(self, refusal: Exception) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


class Processor(Generic[Effects]):
    def __init__(
        self,
        subscription: str,
        store: Store[Effects],
        handlers: Handlers[Effects],
        policy: RetryPolicy,
        observer: Observer,
        clock: Callable[[], datetime],
    ) -> None:
        self._subscription = subscription
        self._store = store
        self._handlers = handlers
        self._policy = policy
        self._observer = observer
        self._clock = clock

    async def process(
        self,
        records: Sequence[Record],
        positions: Mapping[Partition, Position],
        enough: Callable[[], bool],
    ) -> int:
        """Handles the first of `records`, in one transaction until there is `enough`.

        `positions` is where each partition was read from. Gives how many were handled, at least
        one. Raises PositionMoved, StoreUnavailable, TryLater: nothing of it has happened then.
        """
        try:
            return await self._process(records, positions, enough)
        except _NeedsIsolation as isolation:
            log.warning("%s: one by one, because of %s", self._subscription, isolation)
        try:
            return await self._process(records[:1], positions, enough)
        except _NeedsIsolation as isolation:
            return await self._process(records[:1], positions, enough, isolation.refusal)

    async def _process(
        self,
        records: Sequence[Record],
        positions: Mapping[Partition, Position],
        enough: Callable[[], bool],
        refused: Exception | None = None,
    ) -> int:
        arrivals = [arrival_of(record) for record in records]
        places = {record.place for record in records}
        committing = False
        try:
            async with self._store.transaction(self._subscription) as transaction:
                held = await transaction.hold(places)
                if moved := {place for place in places if held.get(place) != positions[place]}:
                    raise PositionMoved(moved)
                streams = {arrival.record.stream for arrival in arrivals}
                states = dict(await transaction.states(streams))
                under_way = _Slice(transaction, dict(held), states)
                handled = await self._take(under_way, arrivals, enough, refused)
                await under_way.write()
                committing = True
        except (PositionMoved, StoreUnavailable, TryLater):
            raise
        except Exception as fault:  # e.g. a deferred constraint that a handler broke
            if not committing:
                raise
            raise _NeedsIsolation(fault) from fault
        for tell in under_way.tell:
            tell()
        return handled

    async def _take(
        self,
        under_way: _Slice[Effects],
        arrivals: Sequence[Arrival],
        enough: Callable[[], bool],
        refused: Exception | None,
    ) -> int:
        if refused:
            await self._take_one(under_way, arrivals[0], refused)
            return 1
        if self._handlers.in_batches and await self._take_together(under_way, arrivals):
            return len(arrivals)
        for count, arrival in enumerate(arrivals, start=1):
            await self._take_one(under_way, arrival)
            if enough():
                return count
        return len(arrivals)

    async def _take_together(self, under_way: _Slice[Effects], arrivals: Sequence[Arrival]) -> bool:
        """All at once, or nothing at all if the batch handler raises."""
        trial = replace(
            under_way, states=dict(under_way.states), changed={}, moved={}, parked=[], tell=[]
        )
        events = [event for arrival in arrivals if (event := self._judge(trial, arrival))]
        for event in events:
            trial.tell.append(lambda event=event: self._observer.handled(event))  # type: ignore[misc]
        try:
            async with under_way.transaction.savepoint():
                if events:
                    await self._handlers.handle_batch(events, under_way.transaction.effects)
        except (StoreUnavailable, TryLater):
            raise
        except Exception as fault:
            log.warning("a batch of %d events is handled one by one: %r", len(events), fault)
            return False
        for name in ("states", "changed", "moved", "parked", "tell"):
            setattr(under_way, name, getattr(trial, name))
        return True

    async def _take_one(
        self, under_way: _Slice[Effects], arrival: Arrival, refused: Exception | None = None
    ) -> None:
        before = under_way.state_of(arrival.record)
        event = self._judge(under_way, arrival)
        if event is None:
            return
        try:
            if refused:
                raise refused
            await self._handle(under_way, event)
        except HandlerFailed as fault:
            self._park(under_way, before, arrival.record, fault)
        except (StoreUnavailable, TryLater):
            raise
        except Exception as refusal:
            self._park(under_way, before, arrival.record, HandlerFailed(1, refusal))

    async def _handle(
        self, under_way: _Slice[Effects], event: Received[EventData], attempt: int = 1
    ) -> None:
        try:
            async with under_way.transaction.savepoint():
                await self._handlers.handle(event, under_way.transaction.effects)
        except (StoreUnavailable, TryLater):
            raise
        except Exception as fault:
            raise HandlerFailed(attempt, fault) from fault
        under_way.tell.append(lambda: self._observer.handled(event))

    def _judge(self, under_way: _Slice[Effects], arrival: Arrival) -> Received[EventData] | None:
        """The event if it is to be handled; its state is advanced, or parked, already."""
        record = arrival.record
        under_way.pass_over(record)
        if arrival.is_foreign:
            under_way.tell.append(lambda: self._observer.foreign(record))
            return None
        state = under_way.state_of(record)
        if _is_repeated(state, arrival):
            under_way.tell.append(lambda: self._observer.repeated(record))
            return None
        if state.parking:
            under_way.parked.append(record)
            return None
        try:
            event = self._read(arrival, state, under_way.expects_first(record))
        except StreamFault as fault:
            self._park(under_way, state, record, fault)
            return None
        under_way.set(record.stream, replace(state, sequence=arrival.sequence))
        if event is None:
            under_way.tell.append(lambda: self._observer.ignored(record))
        return event

    def _read(
        self, arrival: Arrival, state: StreamState, expects_first: bool
    ) -> Received[EventData] | None:
        """The typed event; None if nobody handles its type. Raises StreamFault."""
        if arrival.fault:
            raise arrival.fault
        assert arrival.sequence is not None
        expected = state.sequence + 1 if state.sequence is not None else 1
        is_first_seen = state.sequence is None and not expects_first
        if arrival.sequence != expected and not is_first_seen:
            raise GapDetected(expected, arrival.sequence)
        return received(arrival.record) if self._handlers.handles(arrival.type) else None

    def _park(
        self, under_way: _Slice[Effects], state: StreamState, record: Record, fault: StreamFault
    ) -> None:
        under_way.parked.append(record)
        under_way.set(record.stream, replace(state, parking=self._parking(fault)))
        under_way.tell.append(lambda: self._observer.parked(record.stream, fault))

    def _parking(self, fault: StreamFault) -> Parking:
        now = self._clock()
        attempts = fault.attempt if isinstance(fault, HandlerFailed) else 1
        may_heal = isinstance(fault, HandlerFailed) and not isinstance(fault.cause, Poison)
        retry_at = self._policy.next_attempt(attempts, now) if may_heal else None
        return Parking(fault.kind, _storable(str(fault)), now, attempts, retry_at)

    async def retry_due(self, positions: Mapping[Partition, Position]) -> None:
        """Tries the parked streams of these partitions whose time has come.

        Raises as `process` does.
        """
        async with self._store.transaction(self._subscription) as transaction:
            parked = await transaction.parked_streams(positions.keys())
        now = self._clock()
        for stream, state in parked.items():
            if state.parking and state.parking.retry_at and state.parking.retry_at <= now:
                await self.retry(stream, Partition(stream.topic, state.partition))

    async def retry(self, stream: StreamKey, partition: Partition) -> None:
        """Handles what waits of `stream`, in order, until it is back or fails once more."""
        try:
            while await self._drain(stream, partition, DRAIN_LIMIT):
                pass
        except _NeedsIsolation:
            await self._drain_one_by_one(stream, partition)

    async def _drain_one_by_one(self, stream: StreamKey, partition: Partition) -> None:
        try:
            while await self._drain(stream, partition, 1):
                pass
        except _NeedsIsolation as isolation:
            await self._drain(stream, partition, 1, isolation.refusal)

    async def _drain(
        self,
        stream: StreamKey,
        partition: Partition,
        limit: int,
        refused: Exception | None = None,
    ) -> bool:
        """Handles up to `limit` of what waits; whether more waits and may be tried at once."""
        committing = False
        try:
            async with self._store.transaction(self._subscription) as transaction:
                held = await transaction.hold([partition])
                state = (await transaction.states([stream])).get(stream)
                if state is None or state.parking is None:
                    return False
                waiting = await transaction.parked(stream, limit)
                under_way = _Slice(transaction, dict(held), {stream: state})
                fault = await self._drain_in_order(under_way, state, waiting, refused)
                if fault is None and len(waiting) < limit:
                    under_way.set(stream, replace(under_way.states[stream], parking=None))
                    under_way.tell.append(lambda: self._observer.resumed(stream))
                await under_way.write()
                committing = True
        except (PositionMoved, StoreUnavailable, TryLater):
            raise
        except Exception as refusal:
            if not committing:
                raise
            raise _NeedsIsolation(refusal) from refusal
        for tell in under_way.tell:
            tell()
        return fault is None and len(waiting) == limit

    async def _drain_in_order(
        self,
        under_way: _Slice[Effects],
        state: StreamState,
        waiting: Sequence[Record],
        refused: Exception | None,
    ) -> StreamFault | None:
        """What the stream still suffers from, if anything; the parking says so then."""
        parking = state.parking
        assert parking
        for count, record in enumerate(waiting):
            attempts = parking.attempts if count == 0 and parking.kind is FaultKind.HANDLER else 0
            state = under_way.states[record.stream]
            try:
                state = await self._try_parked(under_way, state, record, attempts + 1, refused)
            except StreamFault as fault:
                again = replace(self._parking(fault), since=parking.since)
                under_way.set(record.stream, replace(state, parking=again))
                under_way.tell.append(
                    lambda record=record, fault=fault: self._observer.parked(record.stream, fault)  # type: ignore[misc]
                )
                return fault
            under_way.unparked.append(record)
            attempted = replace(parking, attempts=0, retry_at=self._clock())
            under_way.set(record.stream, replace(state, parking=attempted))
        return None

    async def _try_parked(
        self,
        under_way: _Slice[Effects],
        state: StreamState,
        record: Record,
        attempt: int,
        refused: Exception | None,
    ) -> StreamState:
        arrival = arrival_of(record)
        if arrival.is_foreign or _is_repeated(state, arrival):
            return state
        event = self._read(arrival, state, under_way.expects_first(record))
        if event and refused:
            raise HandlerFailed(attempt, refused)
        if event:
            await self._handle(under_way, event, attempt)
        return replace(state, sequence=arrival.sequence)


def _storable(text: str) -> str:
    """`text` as any database can hold it: lone surrogates and NUL spelled with a backslash."""
    return text.encode(errors="backslashreplace").decode().replace("\x00", "\\x00")


def _is_repeated(state: StreamState, arrival: Arrival) -> bool:
    return (
        arrival.sequence is not None
        and state.sequence is not None
        and arrival.sequence <= state.sequence
    )
