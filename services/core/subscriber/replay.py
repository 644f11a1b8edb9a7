"""Reading again: the log as typed events, a subscription set back, one stream handled anew."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.events import EventData

from .faults import FaultKind
from .kafka import (
    first_positions,
    new_consumer,
    partition_of_stream,
    partitions_of,
    stop_consumer,
)
from .places import BEGINNING, Partition, Start, StreamKey
from .records import KNOWN_TYPES, Received, Record, arrival_of, received, record_of
from .store import Parking, Store, StreamState

POLL_MS = 200


async def read_events(
    bootstrap_servers: str,
    topics: Sequence[str],
    *,
    start: Start = BEGINNING,
    stream: StreamKey | None = None,
    kafka_options: Mapping[str, Any] | None = None,
) -> AsyncIterator[Received[EventData]]:
    """The events from `start` to the log's end as it is now, of one `stream` if it is named.

    In order per stream. Needs no store and no group; unknown types and foreign records are left
    out. Raises UndecodableRecord, NewerVersion, TopicMissing, and aiokafka's KafkaError.
    """
    async with _reader(bootstrap_servers, kafka_options) as consumer:
        if stream:
            partitions: Collection[Partition] = [await partition_of_stream(consumer, stream)]
        else:
            partitions = await partitions_of(consumer, topics)
        begins = await first_positions(consumer, partitions, start)
        ends = await _ends(consumer, partitions)
        async for record in _records(consumer, {p: begins[p].offset for p in partitions}, ends):
            if stream and record.stream != stream:
                continue
            arrival = arrival_of(record)
            if arrival.fault:
                raise arrival.fault
            if arrival.type in KNOWN_TYPES:
                yield received(record)


async def rewind(
    bootstrap_servers: str,
    topics: Sequence[str],
    subscription: str,
    store: Store[Any],
    start: Start,
    kafka_options: Mapping[str, Any] | None = None,
) -> None:
    """Sets `subscription` to `start`, as if it had begun there: it forgets what it has handled.

    Running members notice within a second. Effects that are there already are for the handlers to
    replace, or for whoever calls this to clear away first.
    """
    async with _reader(bootstrap_servers, kafka_options) as consumer:
        partitions = await partitions_of(consumer, topics)
        positions = await first_positions(consumer, partitions, start)
    async with store.transaction(subscription) as transaction:
        await transaction.hold(partitions)
        for partition in partitions:
            await transaction.forget(partition)
        await transaction.move(positions)


async def replay_stream(
    bootstrap_servers: str,
    subscription: str,
    store: Store[Any],
    stream: StreamKey,
    clock: Callable[[], datetime],
    kafka_options: Mapping[str, Any] | None = None,
) -> int:
    """Has the subscriber handle one stream again from its first event; how many wait for that.

    They are put in the parking place, from where they are handled in order; events that arrive
    meanwhile queue up behind them, and no other stream waits. Heals a gap if the log has none.
    """
    async with _reader(bootstrap_servers, kafka_options) as consumer:
        partition = await partition_of_stream(consumer, stream)
        beginning = (await first_positions(consumer, [partition], BEGINNING))[partition].offset
        read_to, history = beginning, list[Record]()
        while True:
            async with store.transaction(subscription) as transaction:
                position = (await transaction.hold([partition])).get(partition)
                if position is None or position.offset <= read_to:
                    await transaction.forget_stream(stream)
                    await transaction.park(history)
                    parking = Parking(FaultKind.REPLAY, "replayed", clock(), 0, clock())
                    state = StreamState(partition.partition, 0, parking)
                    await transaction.save({stream: state})
                    return len(history)
            ends = {partition: position.offset}
            async for record in _records(consumer, {partition: read_to}, ends):
                if record.stream == stream:
                    history.append(record)
            read_to = position.offset


@asynccontextmanager
async def _reader(
    bootstrap_servers: str, options: Mapping[str, Any] | None
) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = new_consumer(bootstrap_servers, options or {}, group_id=None)
    try:
        await consumer.start()
        yield consumer
    finally:
        await stop_consumer(consumer)


async def _ends(
    consumer: AIOKafkaConsumer, partitions: Collection[Partition]
) -> dict[Partition, int]:
    ends = await consumer.end_offsets([TopicPartition(*place) for place in partitions])
    return {Partition(*place): end for place, end in ends.items()}


async def _records(
    consumer: AIOKafkaConsumer, begins: Mapping[Partition, int], ends: Mapping[Partition, int]
) -> AsyncIterator[Record]:
    """The records of each partition from where it begins up to its end."""
    places = [TopicPartition(*place) for place, begin in begins.items() if begin < ends[place]]
    if not places:
        return
    consumer.assign(places)
    for place in places:
        consumer.seek(place, begins[Partition(*place)])
    while places:
        for place, batch in (await consumer.getmany(*places, timeout_ms=POLL_MS)).items():
            for consumed in batch:
                if consumed.offset < ends[Partition(*place)]:
                    yield record_of(consumed)
        places = [
            place for place in places if await consumer.position(place) < ends[Partition(*place)]
        ]
