"""One consumer in a group: which records are next, from the positions that the store holds.

aiokafka's own position is never trusted: an assignment is live before its listener is called. So
the source keeps in mind where each partition was read from, and the transaction compares.
"""

import asyncio
import math
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalStateError, NoOffsetForPartitionError

from .faults import FetchStalled, PositionMoved
from .kafka import first_positions
from .places import Partition, Start
from .records import Record, record_of
from .store import Position, Store

POLL_SECONDS = 0.2
HANDOVER_TIMEOUT = 5.0
STALLED_POLLS = 5


class Rebalance(ConsumerRebalanceListener):  # type: ignore[misc]
    """Remembers that partitions went or came, and lets a transaction under way end first."""

    def __init__(self) -> None:
        self.assigned = asyncio.Event()
        self.idle = asyncio.Event()
        self.idle.set()
        self.is_stale = True

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        self.is_stale = True
        # The next owner begins behind it; if it takes too long, its commit is refused instead.
        await asyncio.wait([asyncio.ensure_future(self.idle.wait())], timeout=HANDOVER_TIMEOUT)

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self.is_stale = True
        self.assigned.set()


class Source:
    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        rebalance: Rebalance,
        store: Store[Any],
        subscription: str,
        start: Start,
        max_records: int,
    ) -> None:
        self._consumer = consumer
        self._rebalance = rebalance
        self._store = store
        self._subscription = subscription
        self._start = start
        self._max_records = max_records
        self._polls = 0
        self._suspect_after = math.inf
        self._behind: dict[Partition, _Behind] = {}
        self._read_to: dict[Partition, int] = {}
        self.positions: dict[Partition, Position] = {}

    @property
    def is_settled(self) -> bool:
        return not self._rebalance.is_stale

    @property
    def assigned(self) -> frozenset[Partition]:
        return frozenset(Partition(*place) for place in self._consumer.assignment())

    def distrust(self) -> None:
        """Something did not fit: look at the store's positions before reading on."""
        self._rebalance.is_stale = True

    async def settle(self) -> None:
        """Goes to the recorded positions of what is assigned; records those that are missing."""
        self._rebalance.is_stale = False
        assigned = self.assigned
        try:
            positions = await self._known_or_first(assigned)
        except BaseException:
            self.distrust()
            raise
        if self.assigned != assigned:
            self.distrust()
            return
        self.positions = positions
        self._behind, self._read_to = {}, {}
        for place, position in positions.items():
            self._consumer.seek(TopicPartition(*place), position.offset)

    async def _known_or_first(self, assigned: Collection[Partition]) -> dict[Partition, Position]:
        positions = await self._recorded(assigned)
        if missing := [place for place in assigned if place not in positions]:
            positions |= await first_positions(self._consumer, missing, self._start)
            await self._record(positions, missing)
        return positions

    async def check(self) -> None:
        """Notices when somebody set the store's positions anew."""
        if self.is_settled and await self._recorded(self.positions.keys()) != self.positions:
            self.distrust()

    async def _recorded(self, partitions: Collection[Partition]) -> dict[Partition, Position]:
        async with self._store.transaction(self._subscription) as transaction:
            return dict(await transaction.hold(partitions))

    async def _record(
        self, positions: Mapping[Partition, Position], missing: Collection[Partition]
    ) -> None:
        async with self._store.transaction(self._subscription) as transaction:
            if came := await transaction.hold(missing):
                raise PositionMoved(came.keys())
            await transaction.move({place: positions[place] for place in missing})

    async def read(self) -> list[Record]:
        """The next records, each partition's in order; none if there are none for a moment."""
        suspects = self._suspects()
        try:
            fetched = await self._consumer.getmany(
                *suspects, timeout_ms=int(POLL_SECONDS * 1000), max_records=self._max_records
            )
        except (NoOffsetForPartitionError, IllegalStateError):  # nobody has sought yet
            self.distrust()
            return []
        if not self.is_settled:
            return []
        if not fetched:
            self._note_empty(suspects)
        for place, consumed in fetched.items():
            known = self.positions.get(Partition(*place))
            if known is None or consumed[0].offset < known.offset:
                self.distrust()
                return []
            self._read_to[Partition(*place)] = consumed[-1].offset + 1
        return [record_of(consumed) for batch in fetched.values() for consumed in batch]

    def _suspects(self) -> list[TopicPartition]:
        """At every second poll, those that gave nothing for long: it may not be their turn yet."""
        self._polls += 1
        long_ago = time.monotonic() - self._suspect_after
        late = [place for place, behind in self._behind.items() if behind.since < long_ago]
        return [TopicPartition(*place) for place in late] if self._polls % 2 else []

    def _note_empty(self, polled: Collection[TopicPartition]) -> None:
        for place, behind in self._behind.items():
            if not polled or TopicPartition(*place) in polled:
                behind.empty_polls += 1

    def advance(self, records: Collection[Record]) -> None:
        """`records` were handled."""
        for record in records:
            was = self.positions[record.place]
            self.positions[record.place] = Position(record.offset + 1, was.is_whole)

    async def measure(self, stalled_after: float) -> dict[Partition, int]:
        """How many offsets each partition is behind.

        Raises FetchStalled when the log went on, and again and again nothing came of it: aiokafka's
        fetch may hang after a broker's unclean restart, while the broker answers everything else.
        """
        places = self._consumer.assignment()
        ends = await self._consumer.end_offsets(places) if places else {}
        lag = {}
        for place, end in ends.items():
            read_to = await self._consumer.position(place)
            partition = Partition(*place)
            lag[partition] = max(0, end - read_to) + self._waiting(partition)
            self._watch(partition, read_to, end, stalled_after)
        self._suspect_after = stalled_after / 2
        return lag

    def _waiting(self, partition: Partition) -> int:
        """What was read and not handled yet; the markers behind the last record don't count."""
        if partition not in self._read_to or partition not in self.positions:
            return 0
        return max(0, self._read_to[partition] - self.positions[partition].offset)

    def _watch(self, place: Partition, position: int, end: int, stalled_after: float) -> None:
        now = time.monotonic()
        known = self._behind.get(place)
        if end <= position:
            self._behind.pop(place, None)
        elif known is None or known.position != position:
            self._behind[place] = _Behind(position, now)
        elif now - known.since > stalled_after and known.empty_polls >= STALLED_POLLS:
            raise FetchStalled(place, position, end, now - known.since)


@dataclass(slots=True)
class _Behind:
    """A consumer's position that the log's end lies beyond, first seen `since`."""

    position: int
    since: float
    empty_polls: int = 0
