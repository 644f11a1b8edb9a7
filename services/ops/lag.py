"""How far consumers are behind, how fast they are, and what still waits in the outbox."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from services.core.eventlog.read import partitions_of
from services.core.eventlog.topics import TopicNames
from services.core.postgres import Connection
from services.ops.archive.importing import IMPORT_GROUP
from services.ops.connections import database, kafka_consumer, written_ends
from services.ops.consumer_groups import committed_by_group
from services.ops.faults import CommandFault
from services.ops.settings import OperationsSettings

PROJECTOR = "projector"
RENDERER_GROUP = "influencer-renderer"
CONTENT = "content"
CONTENT_SUBSCRIPTION = "influencer-content"
CONSUMERS = {RENDERER_GROUP: "renderer"}
"""What our own consumer groups are called here."""
COUNTED_EXACTLY = 2000
UNCOMMITTED_PATIENCE = 1.0
"""Seconds without a record until what is written beyond counts as not committed yet."""
POLL_MS = 200

READ_POSITIONS = "select topic, partition, next_offset from read_model.projection_offsets"
READ_CONTENT_POSITIONS = """
select topic, partition, next_offset from content.subscriber_positions where subscription = $1
"""
READ_OUTBOX = """
select count(*) as depth,
       coalesce(extract(epoch from clock_timestamp() - min(created_at)), 0)::float8 as age
from event_log.outbox
"""

Positions = dict[TopicPartition, int]


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """`behind`: events between position and end; more than 2000 are counted by their offsets."""

    consumer: str
    topic: str
    partition: int
    position: int
    end: int
    behind: int

    def as_json(self) -> dict[str, object]:
        return {
            "consumer": self.consumer,
            "topic": self.topic,
            "partition": self.partition,
            "position": self.position,
            "end": self.end,
            "behind": self.behind,
        }


@dataclass(frozen=True, slots=True)
class Rate:
    """Events a second: those it reads, and those that arrive on its topics."""

    reads: float
    arrives: float


@dataclass(frozen=True, slots=True)
class ConsumerLag:
    """All partitions of a consumer; `rate` is None where it was measured once only."""

    consumer: str
    behind: int
    rate: Rate | None = None

    @property
    def seconds_to_catch_up(self) -> float | None:
        """At this rate; infinite for one that falls back or stands still. None: not known."""
        if self.behind == 0:
            return 0.0
        if self.rate is None:
            return None
        gains = self.rate.reads - self.rate.arrives
        return self.behind / gains if gains > 0 else float("inf")

    def as_json(self) -> dict[str, object]:
        seconds = self.seconds_to_catch_up
        never = seconds == float("inf")
        return {
            "behind": self.behind,
            "readsPerSecond": round(self.rate.reads, 1) if self.rate else None,
            "arrivesPerSecond": round(self.rate.arrives, 1) if self.rate else None,
            "secondsToCatchUp": None if seconds is None or never else round(seconds, 1),
            "catchesUp": None if seconds is None else not never,
        }


@dataclass(frozen=True, slots=True)
class OutboxDepth:
    """`age_seconds`: of the oldest event that waits."""

    depth: int
    age_seconds: float

    def as_json(self) -> dict[str, object]:
        return {"depth": self.depth, "ageSeconds": round(self.age_seconds, 3)}


@dataclass(frozen=True, slots=True)
class Lag:
    partitions: list[PartitionLag]
    outbox: OutboxDepth
    rates: Mapping[str, Rate] = field(default_factory=dict)

    @property
    def consumers(self) -> list[ConsumerLag]:
        names = dict.fromkeys(row.consumer for row in self.partitions)
        return [ConsumerLag(name, self.behind(name), self.rates.get(name)) for name in names]

    def behind(self, consumer: str) -> int:
        return sum(row.behind for row in self.partitions if row.consumer == consumer)

    @property
    def worst(self) -> int:
        return max(self.outbox.depth, *(consumer.behind for consumer in self.consumers))

    @property
    def slowest(self) -> float:
        """Seconds until the last consumer has caught up."""
        return max(consumer.seconds_to_catch_up or 0.0 for consumer in self.consumers)

    def as_json(self) -> dict[str, Any]:
        return {
            "consumers": {consumer.consumer: consumer.as_json() for consumer in self.consumers},
            "outbox": self.outbox.as_json(),
            "partitions": [row.as_json() for row in self.partitions],
        }


@dataclass(frozen=True, slots=True)
class _Look:
    at: float
    positions: Mapping[str, Positions]
    ends: Positions


class LagMeter:
    """Measures again and again on the same connections; from the second time on with rates."""

    def __init__(
        self,
        settings: OperationsSettings,
        connection: Connection,
        consumer: AIOKafkaConsumer,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._connection = connection
        self._consumer = consumer
        self._clock = clock
        self._last: _Look | None = None
        self._partitions: list[TopicPartition] = []

    async def measure(self) -> Lag:
        outbox = await outbox_depth(self._connection)
        look = await self._look()
        rows = [
            row
            for name, positions in look.positions.items()
            for row in await self._rows(name, positions, look.ends)
        ]
        rates = await self._rates(self._last, look) if self._last else {}
        self._last = look
        return Lag(rows, outbox, rates)

    async def _look(self) -> _Look:
        """Positions before ends: nobody may seem to be ahead."""
        topics = self._settings.topics
        projected = await projector_positions(self._connection)
        content = await content_positions(self._connection, topics)
        committed = await committed_by_group(self._settings.kafka, topics.named(RENDERER_GROUP))
        at = self._clock()
        ends = await self._ends(topics)
        positions = {PROJECTOR: {p: projected.get(p, 0) for p in ends}}
        if content:  # it has run
            positions[CONTENT] = {p: content.get(p, 0) for p in ends if p.topic != topics.media}
        for group, offsets in committed.items():
            followed = _followed(group, offsets, topics)
            if followed:
                reached = {p: offsets.get(p, 0) for p in ends if p.topic in followed}
                positions[_name(group, topics)] = reached
        return _Look(at, positions, ends)

    async def _ends(self, topics: TopicNames) -> Positions:
        if not self._partitions:  # later the client only asks about those that it reads
            self._partitions = [p for topic in topics.events for p in await self._existing(topic)]
        return await written_ends(self._settings.kafka, self._partitions)

    async def _existing(self, topic: str) -> list[TopicPartition]:
        partitions = await partitions_of(self._consumer, topic)
        if not partitions:
            raise CommandFault(f"there is no topic {topic}: run `influencerctl topics create`")
        return partitions

    async def _rows(self, name: str, positions: Positions, ends: Positions) -> list[PartitionLag]:
        behind = await count_events(self._consumer, positions, ends)
        return [
            PartitionLag(name, p.topic, p.partition, position, ends[p], behind[p])
            for p, position in positions.items()
        ]

    async def _rates(self, last: _Look, look: _Look) -> dict[str, Rate]:
        seconds = max(look.at - last.at, 1e-3)
        arrived = await count_events(self._consumer, last.ends, look.ends)
        rates = {}
        for name, positions in look.positions.items():
            before = last.positions.get(name, positions)
            begun = {p: before.get(p, position) for p, position in positions.items()}
            read = await count_events(self._consumer, begun, positions)
            arrives = sum(arrived[p] for p in positions)
            rates[name] = Rate(sum(read.values()) / seconds, arrives / seconds)
        return rates


@asynccontextmanager
async def lag_meter(
    settings: OperationsSettings, clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[LagMeter]:
    """Raises DependencyUnavailable, also while it measures."""
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(database(settings.database))
        consumer = await stack.enter_async_context(kafka_consumer(settings.kafka))
        yield LagMeter(settings, connection, consumer, clock)


async def measure(settings: OperationsSettings, sample_seconds: float = 0.0) -> Lag:
    """Once; and when anybody is behind, again after `sample_seconds`, if any, for the rates."""
    async with lag_meter(settings) as meter:
        measured = await meter.measure()
        if sample_seconds and any(consumer.behind for consumer in measured.consumers):
            await asyncio.sleep(sample_seconds)
            measured = await meter.measure()
    return measured


async def outbox_depth(connection: Connection) -> OutboxDepth:
    row = await connection.fetchrow(READ_OUTBOX)
    return OutboxDepth(row["depth"], row["age"]) if row else OutboxDepth(0, 0.0)


async def projector_positions(connection: Connection) -> Positions:
    rows = await connection.fetch(READ_POSITIONS)
    return {TopicPartition(row["topic"], row["partition"]): row["next_offset"] for row in rows}


async def content_positions(connection: Connection, topics: TopicNames) -> Positions:
    """The content service keeps its positions itself, as subscribers do."""
    rows = await connection.fetch(READ_CONTENT_POSITIONS, topics.named(CONTENT_SUBSCRIPTION))
    return {TopicPartition(row["topic"], row["partition"]): row["next_offset"] for row in rows}


async def count_events(
    consumer: AIOKafkaConsumer, begins: Mapping[TopicPartition, int], ends: Positions
) -> Positions:
    """Counts by reading: transaction markers take offsets too, and nobody waits for those.

    Over `ends` it waits a moment for what is written to be committed; what is not by then is no
    event yet.
    """
    counts = {partition: max(0, ends[partition] - begin) for partition, begin in begins.items()}
    unread = {partition for partition, count in counts.items() if 0 < count <= COUNTED_EXACTLY}
    if unread:
        consumer.assign(list(unread))
    for partition in unread:
        counts[partition] = 0
        consumer.seek(partition, begins[partition])
    clock = asyncio.get_running_loop().time
    heard = clock()
    while unread and clock() - heard < UNCOMMITTED_PATIENCE:
        batches = await consumer.getmany(timeout_ms=POLL_MS)
        for partition, records in batches.items():
            counts[partition] += sum(record.offset < ends[partition] for record in records)
        finished = {p for p in unread if await consumer.position(p) >= ends[p]}
        heard = clock() if batches or finished else heard
        unread -= finished
    return counts


def _followed(group: str, offsets: Positions, topics: TopicNames) -> set[str]:
    if group == topics.named(RENDERER_GROUP):
        return {topics.influencer}
    if group.startswith(topics.named(f"{IMPORT_GROUP}.")):
        return set()
    return {partition.topic for partition in offsets} & {*topics.events}


def _name(group: str, topics: TopicNames) -> str:
    return CONSUMERS.get(group.removeprefix(topics.prefix), group)
