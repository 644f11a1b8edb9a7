"""Reading events for people: what is wanted, from where, and until when."""

import asyncio
import heapq
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from schemas.ids import Prefix
from services.core.errors import DependencyUnavailable
from services.core.eventlog.read import partitions_of
from services.ops.connections import kafka_consumer, written_ends
from services.ops.faults import CommandFault
from services.ops.progress import Meter
from services.ops.streams import StreamAddress

POLL_MS = 200
LOOK_MS = 2000
STALLED_AFTER = 15.0


@dataclass(frozen=True, slots=True)
class ReadEvent:
    """A record as far as it can be read; a damaged one is shown too, not hidden."""

    topic: str
    partition: int
    offset: int
    attributes: dict[str, str]
    data: Any

    @property
    def id(self) -> str:
        return self.attributes.get("ce_id", "")

    @property
    def type(self) -> str:
        return self.attributes.get("ce_type", "")

    @property
    def subject(self) -> str:
        return self.attributes.get("ce_subject", "")

    @property
    def sequence(self) -> str:
        return self.attributes.get("ce_sequence", "?")

    @property
    def time(self) -> str:
        return self.attributes.get("ce_time", "")

    @property
    def job_id(self) -> str | None:
        """By the attributes: what its data calls it is a matter of the event's version."""
        correlated = self.attributes.get("ce_correlationid", "")
        return correlated if correlated.startswith(f"{Prefix.JOB}_") else None

    def as_json(self) -> dict[str, Any]:
        attributes = {n.removeprefix("ce_"): v for n, v in self.attributes.items()}
        place = {"topic": self.topic, "partition": self.partition, "offset": self.offset}
        return {**place, **attributes, "data": self.data}


@dataclass(frozen=True, slots=True)
class Filter:
    """What is wanted. `streams` are where `subject` or `job` is known to be; none: anywhere.

    `since` is the first moment, `until` the one that is too late.
    """

    subject: str | None = None
    organization: str | None = None
    job: str | None = None
    types: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None
    streams: Sequence[StreamAddress] = ()

    def may_pass(self, record: ConsumerRecord) -> bool:
        """By key and headers alone: of a long log most need not be decoded."""
        if self.streams and record.key not in {stream.key for stream in self.streams}:
            return False
        if not self.types:
            return True
        wanted = {name.encode() for name in self.types}
        return any(name == "ce_type" and value in wanted for name, value in record.headers)

    def passes(self, event: ReadEvent) -> bool:
        return (
            (self.subject is None or event.subject == self.subject)
            and (self.job is None or event.job_id == self.job)
            and (
                self.organization is None
                or event.attributes.get("ce_organizationid") == self.organization
            )
            and (not self.types or event.type in self.types)
            and (self.since is None or _time_of(event, self.since) >= self.since)
            and (self.until is None or _time_of(event, self.until) < self.until)
        )


@dataclass(frozen=True, slots=True)
class Span:
    """Which part of the log: whole topics, or of each only what `partitions` and `streams` say.

    From the beginning, from `since` or from now; up to `until` or to the end of now, for ever when
    `follow`.
    """

    topics: Sequence[str]
    partitions: Collection[int] = ()
    streams: Sequence[StreamAddress] = ()
    from_beginning: bool = False
    since: datetime | None = None
    until: datetime | None = None
    follow: bool = False


def read_event(record: ConsumerRecord) -> ReadEvent:
    attributes = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
    try:
        data = orjson.loads(record.value or b"null")
    except orjson.JSONDecodeError:
        data = (record.value or b"").decode(errors="replace")
    return ReadEvent(record.topic, record.partition, record.offset, attributes, data)


async def records(
    bootstrap_servers: str, span: Span, meter: Meter | None = None
) -> AsyncGenerator[ConsumerRecord, None]:
    """The records of `span`: in order per stream, between partitions about in order of time.

    `meter` is told how many, unless they are followed. To be closed. Raises DependencyUnavailable,
    and CommandFault when a topic is missing.
    """
    async with kafka_consumer(bootstrap_servers) as consumer:
        partitions = await _partitions(consumer, span)
        consumer.assign(partitions)
        # Taken before anything is read, so that what comes later can't put off the end.
        ends = {} if span.follow else await _ends(bootstrap_servers, consumer, partitions, span)
        await _seek(consumer, partitions, span)
        if span.follow:
            async for record in _following(consumer):
                yield record
            return
        async for record in _until(consumer, ends, meter):
            yield record


async def _partitions(consumer: AIOKafkaConsumer, span: Span) -> list[TopicPartition]:
    found: list[TopicPartition] = []
    for topic in span.topics:
        existing = await partitions_of(consumer, topic)
        if not existing:
            raise CommandFault(f"there is no topic {topic}: run `influencerctl topics create`")
        if span.streams:
            existing = sorted({stream.among(existing) for stream in span.streams})
        found += [p for p in existing if not span.partitions or p.partition in span.partitions]
    if not found:
        named = ", ".join(map(str, sorted(span.partitions)))
        raise CommandFault(f"there is nothing to read on partition {named}")
    return found


async def _ends(
    bootstrap_servers: str,
    consumer: AIOKafkaConsumer,
    partitions: Sequence[TopicPartition],
    span: Span,
) -> dict[TopicPartition, int]:
    ends = await written_ends(bootstrap_servers, partitions)
    if span.until is None:
        return ends
    later = await consumer.offsets_for_times(dict.fromkeys(partitions, _milliseconds(span.until)))
    return {p: ends[p] if later[p] is None else min(ends[p], later[p].offset) for p in partitions}


async def _seek(
    consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], span: Span
) -> None:
    if span.since is not None:
        moment = _milliseconds(span.since)
        found = await consumer.offsets_for_times(dict.fromkeys(partitions, moment))
        for partition, place in found.items():
            if place is not None:
                consumer.seek(partition, place.offset)
        older = [partition for partition, place in found.items() if place is None]
        if older:  # all at once: each seek to an end takes a while
            await consumer.seek_to_end(*older)
    elif span.from_beginning:
        await consumer.seek_to_beginning(*partitions)
        await _skip_what_is_before(consumer, span.streams, partitions)
    else:
        await consumer.seek_to_end(*partitions)


async def _skip_what_is_before(
    consumer: AIOKafkaConsumer,
    streams: Sequence[StreamAddress],
    partitions: Sequence[TopicPartition],
) -> None:
    """To the first event of the one stream that is wanted, if it is where it is said to be."""
    if len(streams) != 1 or len(partitions) != 1 or streams[0].first_offset is None:
        return
    (stream,), (partition,) = streams, partitions
    beginning = await consumer.position(partition)
    consumer.seek(partition, stream.first_offset)
    found = await consumer.getmany(partition, timeout_ms=LOOK_MS, max_records=1)
    first = next(iter(found.get(partition, ())), None)
    if first and first.key == stream.key and ("ce_sequence", b"1") in first.headers:
        consumer.seek(partition, first.offset)
    else:
        consumer.seek(partition, beginning)


def _milliseconds(moment: datetime) -> int:
    return max(0, int(moment.timestamp() * 1000))  # Kafka means else by those below


async def _following(consumer: AIOKafkaConsumer) -> AsyncIterator[ConsumerRecord]:
    while True:
        for record in _merged(await consumer.getmany(timeout_ms=POLL_MS)):
            yield record


async def _until(
    consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int], meter: Meter | None
) -> AsyncIterator[ConsumerRecord]:
    """Waits for what is written but not committed yet, or not marked so."""
    clock = asyncio.get_running_loop().time
    heard = clock()
    begun = await _position(consumer, list(ends))
    position = dict(begun)
    if meter:
        meter.total = sum(max(0, end - begun[p]) for p, end in ends.items())
    while unread := [p for p, end in ends.items() if position[p] < end]:
        batches = await consumer.getmany(*unread, timeout_ms=POLL_MS)
        for record in _merged(batches):
            if record.offset < ends[TopicPartition(record.topic, record.partition)]:
                yield record
        moved = await _position(consumer, unread)
        heard = clock() if any(moved[p] > position[p] for p in unread) else heard
        position |= moved
        if meter:
            meter.reach(sum(max(0, min(position[p], end) - begun[p]) for p, end in ends.items()))
        if clock() - heard > STALLED_AFTER:
            raise DependencyUnavailable("kafka", "the log's end can't be read")


def _merged(batches: Mapping[TopicPartition, list[ConsumerRecord]]) -> list[ConsumerRecord]:
    """A merge, not a sort: clocks may go back, and then a partition's order is the truth."""
    return list(heapq.merge(*batches.values(), key=lambda record: record.timestamp))


async def _position(
    consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]
) -> dict[TopicPartition, int]:
    return {partition: await consumer.position(partition) for partition in partitions}


def _time_of(event: ReadEvent, otherwise: datetime) -> datetime:
    try:
        return datetime.fromisoformat(event.time)
    except ValueError:
        return otherwise
