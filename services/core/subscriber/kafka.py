"""Consumers set up the one safe way, and where in the log to begin."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError, KafkaError, TopicAuthorizationFailedError
from aiokafka.partitioner import murmur2
from aiokafka.protocol.metadata import MetadataRequest

from .faults import TopicMissing
from .places import Partition, Start, StreamKey
from .store import Position

KAFKA_FAULTS = (KafkaError, TopicMissing, OSError, TimeoutError)
STOP_TIMEOUT = 2.0
CUT_OFF_TIMEOUT = 0.5


def new_consumer(
    bootstrap_servers: str, options: Mapping[str, Any], **fixed: Any
) -> AIOKafkaConsumer:
    """A consumer of bytes that sees only what is committed, and never commits or jumps by itself.

    `options` (e.g. of TLS) may add to that, not change it.
    """
    return AIOKafkaConsumer(
        **{
            "fetch_max_wait_ms": 100,
            "request_timeout_ms": 8_000,
            "retry_backoff_ms": 100,
            **options,
            **fixed,
            "bootstrap_servers": bootstrap_servers,
            "isolation_level": "read_committed",
            "enable_auto_commit": False,
            # The store knows the position; a jump would lose events, or repeat them, silently.
            "auto_offset_reset": "none",
            "key_deserializer": None,
            "value_deserializer": None,
        }
    )


async def stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Leaves the group if Kafka answers; otherwise the group notices by itself."""
    stopped = False
    try:
        with suppress(*KAFKA_FAULTS):
            async with asyncio.timeout(STOP_TIMEOUT):
                await consumer.stop()
                stopped = True
    finally:
        if not stopped:
            await cut_off(consumer._client, consumer, consumer._coordinator, consumer._fetcher)


async def cut_off(client: AIOKafkaClient, *parts: object) -> None:
    """Ends what a stop in vain has left of `client` and of the `parts` that use it.

    That is the tasks, which would connect anew (aiokafka keeps no list of them), and connections.
    These get no last word: one that nobody reads would never be closed otherwise.
    """
    at_work = {task for task in asyncio.all_tasks() if _runs_method_of(task, client, *parts)}
    for task in at_work:
        task.cancel()
    if at_work:
        await asyncio.wait(at_work, timeout=CUT_OFF_TIMEOUT)
    for connection in client._conns.values():
        if transport := connection._protocol._transport:
            transport.abort()
    with suppress(*KAFKA_FAULTS):
        async with asyncio.timeout(CUT_OFF_TIMEOUT):
            await client.close()


def _runs_method_of(task: asyncio.Task[Any], *owners: object) -> bool:
    frame = getattr(task.get_coro(), "cr_frame", None)
    runner = frame.f_locals.get("self") if frame else None
    return runner is not None and any(runner is owner for owner in owners)


async def partitions_of(consumer: AIOKafkaConsumer, topics: Sequence[str]) -> list[Partition]:
    """The partitions of `topics`. Raises TopicMissing and KafkaError."""
    existing = await partition_numbers(consumer._client, topics)
    missing = [topic for topic in topics if topic not in existing]
    if missing:
        raise TopicMissing(missing[0])
    return [Partition(topic, number) for topic in topics for number in existing[topic]]


async def partition_numbers(client: AIOKafkaClient, topics: Sequence[str]) -> dict[str, list[int]]:
    """Of those of `topics` that there are, the numbers of their partitions, in order.

    Asks about these alone. A client that has not subscribed yet asks about all topics of the
    cluster by itself, which may have thousands of others, each time its metadata are refreshed.
    Makes none that is missing, also where brokers do for whoever asks. Raises KafkaError.
    """
    request = MetadataRequest(list(topics), allow_auto_topic_creation=False)
    response = await _of_any_broker(client, request)
    for code, topic, *_ in response.topics:
        if code == TopicAuthorizationFailedError.errno:
            raise TopicAuthorizationFailedError(topic)
    return {
        topic: sorted(number for _, number, *_ in partitions)
        for code, topic, _, partitions in response.topics
        if not code and partitions
    }


async def _of_any_broker(client: AIOKafkaClient, request: MetadataRequest) -> Any:
    fault: KafkaError = KafkaConnectionError("no broker is known")
    for broker in client.cluster.brokers():
        try:
            return await client.send(broker.nodeId, request)
        except KafkaError as of_this_one:
            fault = of_this_one
    raise fault


async def partition_of_stream(consumer: AIOKafkaConsumer, stream: StreamKey) -> Partition:
    """The partition that the stream's key belongs to: Kafka's default partitioner."""
    partitions = await partitions_of(consumer, [stream.topic])
    chosen: int = (murmur2(stream.key.encode()) & 0x7FFFFFFF) % len(partitions)
    return partitions[chosen]


async def first_positions(
    consumer: AIOKafkaConsumer, partitions: Collection[Partition], start: Start
) -> dict[Partition, Position]:
    """Where `start` is in each of `partitions`."""
    if not partitions:
        return {}
    places = [TopicPartition(*partition) for partition in partitions]
    beginnings = await consumer.beginning_offsets(places)
    offsets = dict(beginnings)
    if start.at_end:
        offsets = await consumer.end_offsets(places)
    elif start.moment:
        offsets = await _offsets_at(consumer, places, max(0, int(start.moment.timestamp() * 1000)))
    offsets |= {TopicPartition(*place): offset for place, offset in start.offsets.items()}
    return {
        Partition(*place): Position(offsets[place], offsets[place] <= beginnings[place])
        for place in places
    }


async def _offsets_at(
    consumer: AIOKafkaConsumer, places: list[TopicPartition], moment: int
) -> dict[TopicPartition, int]:
    found = await consumer.offsets_for_times({place: moment for place in places})
    ends = await consumer.end_offsets(places)
    return {place: ends[place] if found[place] is None else found[place].offset for place in places}
