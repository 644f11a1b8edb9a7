"""How fast one projector catches up with a backlog, beside the rate of merely reading the topic."""

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from time import perf_counter
from urllib.parse import urlsplit

import asyncpg
import psutil
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from deploy.local.ports import any_free_port
from deploy.local.stack import Stack
from schemas.events import headers_of, value_of
from services.core.eventlog.read import committed_consumer, partitions_of
from services.core.eventlog.topics import TopicNames, create_topics
from services.core.postgres import Connection
from services.ops.migrations import migrate
from tests.bench.histories import EVENTS_EACH, interleaved
from tests.waiting import eventually

EVENTS = 200_000
TRANSACTION = 2000
DEADLINE = 300.0
BACKENDS = """
select pid from pg_stat_activity
where application_name = 'projector' and datname = current_database()
"""


@dataclass(frozen=True)
class CaughtUp:
    """Events a second; CPU microseconds an event, of the projector and of its backends."""

    events: int
    reading: float
    projecting: float
    own: float
    backends: float


async def bench_projector(stack: Stack, events: int = EVENTS) -> CaughtUp:
    names = TopicNames(f"bench-{secrets.token_hex(4)}.")
    servers = stack.bootstrap_servers
    async with fresh_database(stack.database_url) as url, fresh_topics(servers, names):
        written = await write_backlog(servers, names, events // EVENTS_EACH)
        reading = written / await _reading_seconds(servers, names, written)
        seconds, spent = await _projecting_seconds(servers, names, url, written)
    own, backends = (part / written * 1e6 for part in spent)
    return CaughtUp(written, reading, written / seconds, own, backends)


@asynccontextmanager
async def fresh_database(server_url: str) -> AsyncIterator[str]:
    name = f"bench_{secrets.token_hex(4)}"
    server = await asyncpg.connect(server_url)
    await server.execute(f"create database {name}")
    url = urlsplit(server_url)._replace(path=f"/{name}").geturl()
    try:
        await migrate(url)
        yield url
    finally:
        await server.execute(f"drop database {name} with (force)")
        await server.close()


@asynccontextmanager
async def fresh_topics(servers: str, names: TopicNames) -> AsyncIterator[None]:
    await create_topics(servers, names, shard_count=1, replication_factor=1)
    try:
        yield
    finally:
        admin = AIOKafkaAdminClient(bootstrap_servers=servers)
        await admin.start()
        await admin.delete_topics([*names.events, names.cursor])
        await admin.close()


async def write_backlog(servers: str, names: TopicNames, influencers: int) -> int:
    producer = AIOKafkaProducer(
        bootstrap_servers=servers,
        transactional_id=names.named("backlog"),
        max_batch_size=256 * 1024,
        linger_ms=5,
    )
    written = 0
    async with producer:
        events = interleaved(influencers)
        while chunk := list(islice(events, TRANSACTION)):
            async with producer.transaction():
                sent = [
                    await producer.send(
                        names.influencer,
                        value_of(event),
                        event.key.encode(),
                        headers=[(n, v.encode()) for n, v in headers_of(event).items()],
                    )
                    for event in chunk
                ]
                await asyncio.gather(*sent)
            written += len(chunk)
    return written


async def _reading_seconds(servers: str, names: TopicNames, count: int) -> float:
    consumer = committed_consumer(servers)
    async with consumer:
        partitions = await partitions_of(consumer, names.influencer)
        started = perf_counter()
        consumer.assign(partitions)
        read = 0
        while read < count:
            fetched = await consumer.getmany(timeout_ms=1000, max_records=4000)
            read += sum(map(len, fetched.values()))
        return perf_counter() - started


async def _projecting_seconds(
    servers: str, names: TopicNames, url: str, count: int
) -> tuple[float, tuple[float, float]]:
    environment = {
        **os.environ,
        "DATABASE_URL": url,
        "KAFKA_BOOTSTRAP_SERVERS": servers,
        "KAFKA_TOPIC_PREFIX": names.prefix,
        "PROJECTOR_OPERATIONS_PORT": str(any_free_port()),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.projector", env=environment
    )
    try:
        async with asyncio.timeout(DEADLINE):
            return await _catching_up(url, count, process.pid)
    finally:
        process.terminate()
        await process.wait()


async def _catching_up(url: str, count: int, pid: int) -> tuple[float, tuple[float, float]]:
    """Seconds and CPU seconds (the projector's, its backends') from the consumer's assignment
    (start and joining are not throughput) to the last row."""
    connection = await asyncpg.connect(url)
    await _until(connection, "select count(*) from read_model.projection_offsets", 1)
    started, own = perf_counter(), cpu_seconds(pid)
    # Markers take offsets, so the positions may be there early; the rows then decide.
    positions = "select coalesce(sum(next_offset), 0) from read_model.projection_offsets"
    await _until(connection, positions, count)
    await _until(connection, "select count(*) from read_model.events", count)
    seconds = perf_counter() - started
    backends = await connection.fetch(BACKENDS)
    spent = cpu_seconds(pid) - own, sum(cpu_seconds(row["pid"]) for row in backends)
    await connection.close()
    return seconds, spent


def cpu_seconds(pid: int) -> float:
    """On a shared machine steadier than a rate; 0 for a process that is not here."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


async def _until(connection: Connection, query: str, count: int) -> None:
    async def counted() -> bool:
        return bool(await connection.fetchval(query) >= count)

    await eventually(f"{count} of: {query}", counted, within=DEADLINE)
