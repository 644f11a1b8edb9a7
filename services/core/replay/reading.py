"""The log from given offsets to given ends, `read_committed`, in large chunks.

A read_committed end offset may lie before records whose commit was acknowledged already: the
coordinator writes transaction markers after it has answered EndTxn. So "the log up to now" is the
high watermark, which a read_uncommitted consumer sees, and reading goes on until the position has
passed it: then every transaction that had begun before is decided.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from services.core.errors import DependencyUnavailable
from services.core.eventlog.read import committed_consumer, partitions_of
from services.core.readmodel.positions import Partition

POLL_MS = 20
FETCHED = 2000
"""Records taken from the consumer at a time."""
MAX_BYTES = 64 * 1024 * 1024
GATHERED_FOR = 0.2
"""Seconds in which a chunk may fill while nothing arrives."""
START_TIMEOUT = 10.0
STALLED_AFTER = 15.0
"""Seconds without any progress; a transaction that nobody ends holds a partition up for longer."""


class Span(NamedTuple):
    """Offsets of one partition, `end` excluded."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """In offsets: transaction markers take some too."""
        return max(0, self.end - self.start)


class Chunk(NamedTuple):
    """Records, each partition's in order, and where to read on when they are dealt with.

    `positions` is of the partitions that moved; a partition may move without a record.
    """

    records: Sequence[ConsumerRecord]
    positions: Mapping[Partition, int]


class LogIncomplete(Exception):
    """The topic is missing, or retention has cut its beginning off."""


async def log_spans(
    bootstrap_servers: str, topics: Collection[str], *, whole: bool = True
) -> dict[Partition, Span]:
    """What there is of each partition of `topics` now, from its first offset to its high watermark.

    Raises LogIncomplete when a topic is missing or, unless not `whole`, does not begin at 0;
    DependencyUnavailable.
    """
    async with _started(bootstrap_servers, isolation_level="read_uncommitted") as consumer:
        partitions = [p for topic in topics for p in await _existing(consumer, topic)]
        begins = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
    late = [f"{p.topic}/{p.partition}" for p in partitions if begins[p] > 0]
    if late and whole:
        raise LogIncomplete(f"the log has lost its beginning: {', '.join(late)}")
    return {Partition(*p): Span(begins[p], ends[p]) for p in partitions}


async def read_chunks(
    bootstrap_servers: str,
    spans: Mapping[Partition, Span],
    *,
    size: int,
    max_bytes: int = MAX_BYTES,
    stalled_after: float = STALLED_AFTER,
) -> AsyncGenerator[Chunk]:
    """All committed records in `spans`, partitions beside each other.

    A chunk has up to `size` records, and fewer when their values come to `max_bytes`; about as
    much is fetched ahead.

    Raises DependencyUnavailable, also when a span's end can't be reached for `stalled_after`
    seconds: no record came, and no marker that would decide those that are there.
    """
    missing = {p: span for p, span in spans.items() if span.length}
    if not missing:
        return
    async with _started(bootstrap_servers, fetch_max_bytes=max_bytes) as consumer:
        consumer.assign([TopicPartition(*partition) for partition in missing])
        for partition, span in missing.items():
            consumer.seek(TopicPartition(*partition), span.start)
        reader = _SpanReader(consumer, missing, stalled_after)
        while not reader.is_done:
            chunk = await reader.read(size, max_bytes)
            if chunk.positions:
                yield chunk


def shares(spans: Mapping[Partition, Span], workers: int) -> list[dict[Partition, Span]]:
    """`spans` dealt out to at most `workers`, about the same number of offsets each."""
    dealt: list[dict[Partition, Span]] = [{} for _ in range(workers)]
    loads = [0] * workers
    for partition, span in sorted(spans.items(), key=lambda item: (-item[1].length, item[0])):
        least = loads.index(min(loads))
        dealt[least][partition] = span
        loads[least] += span.length
    return [share for share in dealt if share]


class _SpanReader:
    def __init__(
        self, consumer: AIOKafkaConsumer, spans: Mapping[Partition, Span], stalled_after: float
    ) -> None:
        self._consumer = consumer
        self._stalled_after = stalled_after
        self._ends = {TopicPartition(*p): span.end for p, span in spans.items()}
        self._positions = {TopicPartition(*p): span.start for p, span in spans.items()}
        self._clock = asyncio.get_running_loop().time
        self._heard = self._clock()

    @property
    def is_done(self) -> bool:
        return not self._ends

    async def read(self, size: int, max_bytes: int) -> Chunk:
        """Up to `size` records, fewer when there are no more for a moment."""
        records: list[ConsumerRecord] = []
        positions: dict[Partition, int] = {}
        given_up = self._clock() + GATHERED_FOR
        read_bytes = 0
        while self._ends and self._clock() < given_up:
            missing = min(size - len(records), FETCHED)
            if missing <= 0 or read_bytes >= max_bytes:
                break
            fetched = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=missing)
            for partition, read in fetched.items():
                end = self._ends[partition]
                records += read if read[-1].offset < end else [r for r in read if r.offset < end]
                read_bytes += sum(len(record.value or b"") for record in read)
                given_up = self._clock() + GATHERED_FOR
            positions |= await self._move()
        chunk = Chunk(records, positions)
        if chunk.positions:
            self._heard = self._clock()
        elif self._clock() - self._heard > self._stalled_after:
            named = ", ".join(f"{p.topic}/{p.partition}" for p in sorted(self._ends))
            raise DependencyUnavailable("kafka", f"the end of {named} can't be read")
        return chunk

    async def _move(self) -> dict[Partition, int]:
        moved = {}
        for partition, end in list(self._ends.items()):
            position = min(await self._consumer.position(partition), end)
            if position > self._positions[partition]:
                self._positions[partition] = moved[Partition(*partition)] = position
            if position == end:
                del self._ends[partition]
                self._consumer.pause(partition)
        return moved


async def _existing(consumer: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
    partitions = await partitions_of(consumer, topic)
    if not partitions:
        raise LogIncomplete(f"there is no topic {topic}")
    return partitions


@asynccontextmanager
async def _started(
    bootstrap_servers: str,
    isolation_level: str = "read_committed",
    fetch_max_bytes: int = MAX_BYTES,
) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = committed_consumer(
        bootstrap_servers,
        client_id="replay",
        isolation_level=isolation_level,
        fetch_max_bytes=fetch_max_bytes,
    )
    try:
        async with asyncio.timeout(START_TIMEOUT):
            await consumer.start()
        yield consumer
    except (KafkaError, OSError, TimeoutError) as fault:
        raise DependencyUnavailable("kafka", f"{type(fault).__name__}: {fault}") from fault
    finally:
        await consumer.stop()
