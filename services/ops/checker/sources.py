"""Where the checker's facts come from: Kafka and Postgres, read by itself."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias, cast

import asyncpg
import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from services.ops.checker.facts import TOPICS, DatabaseContents, LogContents, Record, Rows

TIMEOUT = 10.0
STALLED_AFTER = 20.0

# In quotes: generic in its stubs only.
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_QUERIES = {
    "outbox": "select outbox_id, event_id, key from event_log.outbox order by outbox_id",
    "streams": "select organization_id::text, stream_id, sequence, state from event_log.streams",
    "influencers": """
        select organization_id::text, influencer_id, project_id::text, status, sequence, state
        from read_model.influencers""",
    "jobs": """
        select job_id, organization_id::text, project_id::text, influencer_id, stream_id, kind,
               status, sequence, state
        from read_model.jobs""",
    "assets": """
        select organization_id::text, asset_id, project_id::text, influencer_id, state
        from read_model.media_assets""",
    "history": """
        select organization_id::text, stream_id, sequence, event_id, type, version,
               correlation_id, data
        from read_model.events where topic = any($1)""",
    "quarantine": """
        select stream_key, reason, partition, record_offset from read_model.quarantine
        where topic = any($1) order by topic, partition, record_offset""",
}
_POSITIONS = """
select topic, partition, next_offset from read_model.projection_offsets where topic = any($1)
"""


class SourceUnavailable(Exception):
    """Kafka or Postgres does not answer, or has not what the checker must read."""


async def read_log(bootstrap_servers: str, prefix: str) -> LogContents:
    """All topics from offset 0 to its end of now, committed records only.

    Raises SourceUnavailable.
    """
    try:
        async with _consumer(bootstrap_servers, "read_uncommitted") as consumer:
            partitions = [
                TopicPartition(prefix + topic, partition)
                for topic in TOPICS
                for partition in await _partitions(consumer, prefix + topic)
            ]
            ends = await consumer.end_offsets(partitions)
        async with _consumer(bootstrap_servers, "read_committed") as consumer:
            return await _read_to(consumer, ends, prefix)
    except (KafkaError, OSError, TimeoutError) as fault:
        raise SourceUnavailable(f"kafka: {type(fault).__name__}: {fault}") from fault


@asynccontextmanager
async def _consumer(
    bootstrap_servers: str, isolation_level: str
) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        client_id="log-checker",
        isolation_level=isolation_level,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        request_timeout_ms=8_000,
        fetch_max_wait_ms=100,
        max_partition_fetch_bytes=8 * 1024 * 1024,
    )
    try:
        async with asyncio.timeout(TIMEOUT):
            await consumer.start()
        yield consumer
    finally:
        await consumer.stop()


async def _read_to(
    consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int], prefix: str
) -> LogContents:
    """Waits for the markers of transactions that are committed but not yet marked on the log.

    Kafka answers a commit before it writes them, so what a `read_committed` consumer calls the end
    may lie before events that the relay has already taken from the outbox.
    """
    consumer.assign(list(ends))
    for partition in ends:
        consumer.seek(partition, 0)
    unread = {partition for partition, end in ends.items() if end > 0}
    records: list[Record] = []
    while unread:
        async with asyncio.timeout(STALLED_AFTER):
            while not await _read_some(consumer, ends, records, prefix):
                if await _finished(consumer, unread, ends):
                    break
        unread -= await _finished(consumer, unread, ends)
    places = {(p.topic.removeprefix(prefix), p.partition): end for p, end in ends.items()}
    return LogContents(records, places)


async def _read_some(
    consumer: AIOKafkaConsumer,
    ends: Mapping[TopicPartition, int],
    records: list[Record],
    prefix: str,
) -> bool:
    batches = await consumer.getmany(timeout_ms=100, max_records=20_000)
    for partition, batch in batches.items():
        topic = partition.topic.removeprefix(prefix)
        records += [
            Record(partition.partition, r.offset, r.key, r.headers, r.value, topic)
            for r in batch
            if r.offset < ends[partition]
        ]
    return bool(batches)


async def _finished(
    consumer: AIOKafkaConsumer, unread: set[TopicPartition], ends: Mapping[TopicPartition, int]
) -> set[TopicPartition]:
    """Positions pass over transaction markers, so each comes to its end."""
    return {p for p in unread if await consumer.position(p) >= ends[p]}


async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> list[int]:
    client = consumer._client
    request = MetadataRequest([topic], allow_auto_topic_creation=False)
    response = await client.send(client.get_random_node(), request)
    found = [number for _, _, _, partitions in response.topics for _, number, *_ in partitions]
    if not found:
        raise SourceUnavailable(f"kafka: there is no topic {topic}")
    return sorted(found)


async def read_database(database_url: str, prefix: str) -> DatabaseContents:
    """All rows that must agree with the log, from one snapshot.

    Raises SourceUnavailable.
    """
    topics = [prefix + topic for topic in TOPICS]
    try:
        connection = await asyncpg.connect(database_url, timeout=TIMEOUT)
        try:
            await connection.set_type_codec(
                "jsonb", schema="pg_catalog", encoder=_unused, decoder=orjson.loads
            )
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                rows = {name: await _rows(connection, name, topics) for name in _QUERIES}
                positions = await connection.fetch(_POSITIONS, topics)
        finally:
            await connection.close(timeout=TIMEOUT)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as fault:
        raise SourceUnavailable(f"postgres: {type(fault).__name__}: {fault}") from fault
    by_place = {
        (row["topic"].removeprefix(prefix), row["partition"]): row["next_offset"]
        for row in positions
    }
    return DatabaseContents(**rows, positions=by_place)


async def _rows(connection: Connection, name: str, topics: Sequence[str]) -> Rows:
    arguments = [topics] if "$1" in _QUERIES[name] else []
    rows: Any = await connection.fetch(_QUERIES[name], *arguments)
    return cast(Rows, rows)


def _unused(_: Any) -> str:
    raise AssertionError("the checker writes nothing")
