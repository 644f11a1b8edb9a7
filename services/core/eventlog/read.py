"""Reading the log: consumers that see only what is committed, from the beginning."""

import asyncio
from contextlib import suppress

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from services.core.eventlog.connection import kafka_options
from services.core.subscriber.kafka import cut_off, partition_numbers

FETCH_MAX_BYTES = 50 * 1024 * 1024
START_GRACE = 0.3
_STOP_FAULTS = (TimeoutError, KafkaError, OSError, AssertionError)


def committed_consumer(
    bootstrap_servers: str,
    *,
    group_id: str | None = None,
    client_id: str = "influencer-service",
    fetch_max_wait_ms: int = 100,
    **overrides: object,
) -> AIOKafkaConsumer:
    """A consumer of bytes, `read_committed`, that never commits or jumps by itself."""
    options: dict[str, object] = {
        "bootstrap_servers": bootstrap_servers,
        "group_id": group_id,
        "client_id": client_id,
        "isolation_level": "read_committed",
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "fetch_max_wait_ms": fetch_max_wait_ms,
        "fetch_max_bytes": FETCH_MAX_BYTES,
        "request_timeout_ms": 8_000,
        "session_timeout_ms": 10_000,
        "heartbeat_interval_ms": 2_000,
        "retry_backoff_ms": 100,
        **kafka_options(),
    }
    return AIOKafkaConsumer(**{**options, **overrides})


async def partitions_of(consumer: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
    """The topic's partitions, in order; empty when there is no such topic.

    `consumer` is started. Raises KafkaError.
    """
    existing = await partition_numbers(consumer._client, [topic])
    return [TopicPartition(topic, number) for number in existing.get(topic, ())]


async def start_client(
    client: AIOKafkaConsumer | AIOKafkaProducer | AIOKafkaAdminClient, seconds: float
) -> None:
    """Gives a start that is cancelled, or late, a moment to end by itself. Raises TimeoutError.

    A client that is cancelled while it asks for the cluster's metadata forgets the connection it
    has made for that (aiokafka 0.14, `AIOKafkaClient.bootstrap`), and nothing closes it.
    """
    starting = asyncio.ensure_future(client.start())
    try:
        async with asyncio.timeout(seconds):
            await asyncio.shield(starting)
    finally:
        if not starting.done():
            await asyncio.wait({starting}, timeout=START_GRACE)
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)


async def stop_client(client: AIOKafkaConsumer | AIOKafkaProducer, seconds: float) -> None:
    """Lets go of a client, also of one that hangs: its connections are closed in any case.

    A consumer leaves its group if Kafka answers in time; otherwise the group notices by itself.
    What a producer has left open, the next one with its transactional id aborts.
    """
    stopped = False
    try:
        with suppress(*_STOP_FAULTS):
            async with asyncio.timeout(seconds):
                await client.stop()
                stopped = True
    finally:
        if not stopped:
            await _cut_off(client)


async def _cut_off(client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
    if isinstance(client, AIOKafkaProducer):
        await cut_off(client.client, client, client._sender, client._message_accumulator)
    else:
        await cut_off(client._client, client, client._coordinator, client._fetcher)
