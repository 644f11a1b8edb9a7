"""What a subscriber remembers, and the protocol of whoever keeps it.

Three things, always changed in one transaction: positions, the last sequence of each stream, and
the parking place. A store that lets handlers write in that same transaction makes their effects
happen exactly once.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeVar

from .faults import FaultKind
from .places import Partition, StreamKey
from .records import Record

Effects_co = TypeVar("Effects_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Position:
    """The next offset to read. `is_whole`: everything before it was read too, from the beginning,
    so a stream that is seen for the first time must begin with sequence 1."""

    offset: int
    is_whole: bool


@dataclass(frozen=True, slots=True)
class Parking:
    """Why a stream waits, since when, and until when; with no `retry_at`, until somebody acts.

    `attempts` were made at the first event that waits.
    """

    kind: FaultKind
    reason: str
    since: datetime
    attempts: int = 0
    retry_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StreamState:
    """The last `sequence` that was handled, ignored or skipped; None: none was seen yet."""

    partition: int
    sequence: int | None = None
    parking: Parking | None = None


@dataclass(frozen=True, slots=True)
class Skip:
    """Somebody decided to go on without what was wrong: sequences `first` to `last`.

    They are None for a record without a readable sequence.
    """

    stream: StreamKey
    first: int | None
    last: int | None
    reason: str
    at: datetime


class Transaction(Protocol[Effects_co]):
    """One transaction of the store. Each method may raise StoreUnavailable."""

    @property
    def effects(self) -> Effects_co:
        """What handlers write with, e.g. a database connection in this very transaction."""
        ...

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        """Undoes what handlers wrote inside it if it is left with an exception."""
        ...

    async def hold(self, partitions: Collection[Partition]) -> Mapping[Partition, Position]:
        """The positions of those that have one, locked until the transaction ends."""
        ...

    async def move(self, positions: Mapping[Partition, Position]) -> None: ...

    async def states(self, streams: Collection[StreamKey]) -> Mapping[StreamKey, StreamState]:
        """The states of those that have one."""
        ...

    async def save(self, states: Mapping[StreamKey, StreamState]) -> None: ...

    async def parked_streams(
        self, partitions: Collection[Partition] | None = None
    ) -> Mapping[StreamKey, StreamState]:
        """Every parked stream, or those of `partitions`."""
        ...

    async def park(self, records: Collection[Record]) -> None:
        """Puts `records` behind those of their streams; one that is there already stays once."""
        ...

    async def parked(self, stream: StreamKey, limit: int) -> Sequence[Record]:
        """The first of the stream that wait, in the order of the log."""
        ...

    async def unpark(self, records: Collection[Record]) -> None: ...

    async def record_skip(self, skip: Skip) -> None: ...

    async def skips(self) -> Sequence[Skip]: ...

    async def forget(self, partition: Partition) -> None:
        """Drops the states and parked records of all its streams, and its position."""
        ...

    async def forget_stream(self, stream: StreamKey) -> None: ...


class Store(Protocol[Effects_co]):
    def transaction(
        self, subscription: str
    ) -> AbstractAsyncContextManager[Transaction[Effects_co]]:
        """Commits when it is left, rolls back when left with an exception.

        Raises StoreUnavailable.
        """
        ...


@dataclass(slots=True)
class _Memory:
    positions: dict[Partition, Position] = field(default_factory=dict)
    states: dict[StreamKey, StreamState] = field(default_factory=dict)
    parked: dict[StreamKey, dict[tuple[int, int], Record]] = field(default_factory=dict)
    skips: list[Skip] = field(default_factory=list)


class MemoryStore:
    """Forgets everything with its process, and can't undo what handlers did: for tests, and for
    subscribers that read everything anew at each start."""

    def __init__(self) -> None:
        self._memories: dict[str, _Memory] = {}
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def transaction(self, subscription: str) -> AsyncIterator["MemoryTransaction"]:
        async with self._lock:
            transaction = MemoryTransaction(self._memories.get(subscription) or _Memory())
            yield transaction
            self._memories[subscription] = transaction.memory


class MemoryTransaction:
    effects: None = None

    def __init__(self, memory: _Memory) -> None:
        self.memory = _Memory(
            dict(memory.positions),
            dict(memory.states),
            {stream: dict(records) for stream, records in memory.parked.items()},
            list(memory.skips),
        )

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        yield

    async def hold(self, partitions: Collection[Partition]) -> Mapping[Partition, Position]:
        positions = self.memory.positions
        return {place: positions[place] for place in partitions if place in positions}

    async def move(self, positions: Mapping[Partition, Position]) -> None:
        self.memory.positions.update(positions)

    async def states(self, streams: Collection[StreamKey]) -> Mapping[StreamKey, StreamState]:
        states = self.memory.states
        return {stream: states[stream] for stream in streams if stream in states}

    async def save(self, states: Mapping[StreamKey, StreamState]) -> None:
        self.memory.states.update(states)

    async def parked_streams(
        self, partitions: Collection[Partition] | None = None
    ) -> Mapping[StreamKey, StreamState]:
        return {
            stream: state
            for stream, state in self.memory.states.items()
            if state.parking
            and (partitions is None or Partition(stream.topic, state.partition) in partitions)
        }

    async def park(self, records: Collection[Record]) -> None:
        for record in records:
            waiting = self.memory.parked.setdefault(record.stream, {})
            waiting.setdefault((record.partition, record.offset), record)

    async def parked(self, stream: StreamKey, limit: int) -> Sequence[Record]:
        waiting = self.memory.parked.get(stream, {})
        return [waiting[place] for place in sorted(waiting)[:limit]]

    async def unpark(self, records: Collection[Record]) -> None:
        for record in records:
            self.memory.parked.get(record.stream, {}).pop((record.partition, record.offset), None)

    async def record_skip(self, skip: Skip) -> None:
        self.memory.skips.append(skip)

    async def skips(self) -> Sequence[Skip]:
        return tuple(self.memory.skips)

    async def forget(self, partition: Partition) -> None:
        self.memory.positions.pop(partition, None)
        for stream, state in list(self.memory.states.items()):
            if Partition(stream.topic, state.partition) == partition:
                await self.forget_stream(stream)

    async def forget_stream(self, stream: StreamKey) -> None:
        self.memory.states.pop(stream, None)
        self.memory.parked.pop(stream, None)
