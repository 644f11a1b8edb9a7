"""A processor with a store and a clock, told what to do with each event; no Kafka."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.events import EventData, InfluencerDrafted, InfluencerUpdated
from services.core.subscriber import (
    Observer,
    ParkingPlace,
    Partition,
    Position,
    Received,
    Record,
    RetryPolicy,
    Store,
    StreamFault,
    StreamKey,
)
from services.core.subscriber.handlers import Handlers
from services.core.subscriber.processing import Processor
from tests.unit.subscriber.records import TOPIC, on_log

PLACE = Partition(TOPIC, 0)
SUBSCRIPTION = "reader"


class Hearing(Observer):
    def __init__(self) -> None:
        self.handled_events: list[Received[EventData]] = []
        self.faults: list[StreamFault] = []
        self.counts: dict[str, int] = {"ignored": 0, "repeated": 0, "foreign": 0}
        self.back: list[StreamKey] = []

    def handled(self, event: Received[EventData]) -> None:
        self.handled_events.append(event)

    def ignored(self, record: Record) -> None:
        self.counts["ignored"] += 1

    def repeated(self, record: Record) -> None:
        self.counts["repeated"] += 1

    def foreign(self, record: Record) -> None:
        self.counts["foreign"] += 1

    def parked(self, stream: StreamKey, fault: StreamFault) -> None:
        self.faults.append(fault)

    def resumed(self, stream: StreamKey) -> None:
        self.back.append(stream)


class Workbench:
    """`refusals` maps an event's (subject, sequence) to what its handler raises."""

    def __init__(
        self, store: Store[Any], *, in_batches: bool = False, is_whole: bool = True
    ) -> None:
        self.now = datetime(2026, 11, 24, tzinfo=UTC)
        self.hearing = Hearing()
        self.refusals: dict[tuple[str, int], Exception] = {}
        self.calls: list[list[tuple[str, int]]] = []
        self.write: Callable[[Any, Received[EventData]], None] = lambda effects, event: None
        handlers: Handlers[Any] = Handlers()
        if in_batches:
            handlers.set_batch((InfluencerDrafted, InfluencerUpdated), self._handle)
        else:
            handlers.add((InfluencerDrafted, InfluencerUpdated), self._handle_one)
        self.store = store
        self.processor = Processor(
            SUBSCRIPTION, store, handlers, RetryPolicy((1, 10)), self.hearing, lambda: self.now
        )
        self.parking = ParkingPlace(SUBSCRIPTION, store, lambda: self.now, self.hearing)
        self.position = Position(0, is_whole)
        self._is_new = True
        self._records: list[Record] = []

    async def take(self, records: Iterable[Record], *, at_a_time: int = 1000) -> list[Record]:
        """Processes `records` as the log's next ones; gives them with their offsets."""
        if self._is_new:
            async with self.store.transaction(SUBSCRIPTION) as transaction:
                await transaction.move({PLACE: self.position})
            self._is_new = False
        self._records.extend(records)
        placed = [one for one in on_log(self._records) if one.offset >= self.position.offset]
        waiting: Sequence[Record] = placed
        while waiting:
            calls = iter(range(at_a_time, 0, -1))
            handled = await self.processor.process(
                waiting,
                {PLACE: self.position},
                lambda calls=calls: next(calls) == 1,  # type: ignore[misc]
            )
            self.position = Position(waiting[handled - 1].offset + 1, self.position.is_whole)
            waiting = waiting[handled:]
        return placed

    async def resume(self) -> None:
        """Goes on where the store says that another workbench ended."""
        async with self.store.transaction(SUBSCRIPTION) as transaction:
            self.position = (await transaction.hold([PLACE]))[PLACE]
        self._is_new = False

    async def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        await self.processor.retry_due({PLACE: self.position})

    def handled(self, subject: str) -> list[int]:
        events = self.hearing.handled_events
        return [one.sequence for one in events if one.event.subject == subject]

    async def _handle_one(self, event: Received[EventData], effects: Any) -> None:
        await self._handle((event,), effects)

    async def _handle(self, events: Sequence[Received[EventData]], effects: Any) -> None:
        self.calls.append([(one.event.subject, one.sequence) for one in events])
        for one in events:
            self.write(effects, one)
            if refusal := self.refusals.get((one.event.subject, one.sequence)):
                raise refusal
