"""The relay: moves outbox rows to Kafka, each exactly once and in a stream's order.

One leader per shard holds a Postgres advisory lock on the connection it reads the outbox with.
A round is one Kafka transaction: the events, and a cursor record that names their rows; after
its commit the rows are deleted. A new leader first initialises every producer of the ring (which
fences the old leader and settles what it left open), then reads the last committed cursor and
deletes the rows it names. So whatever is killed, and whenever, a row is neither lost nor doubled.
"""

import asyncio
import os
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field

import asyncpg
import orjson
import structlog
from aiokafka import AIOKafkaProducer

from services.core.eventlog.connection import kafka_options
from services.core.eventlog.cursor import Cursor, read_last_cursor
from services.core.eventlog.read import start_client, stop_client
from services.core.eventlog.topics import TopicNames
from services.core.failpoints import fail_point
from services.core.notifications import OUTBOX_CHANNEL, listen
from services.core.postgres import CONNECT_TIMEOUT, Connection

log = structlog.get_logger(__name__)

LOCK_CLASS = 0x1F4C
RING_SIZE = 3
MAX_ROUND = 2000
POLL_INTERVAL = 0.05
LOCK_INTERVAL = 0.25
START_TIMEOUT = 12.0
ROUND_TIMEOUT = 15.0
LEADER_IDLE_LIMIT = "20s"
"""A leader that asks nothing of Postgres for so long is stopped or stuck: its lock is freed."""
STOP_TIMEOUT = 3.0
RESTART_DELAY = 0.5
TRANSACTION_TIMEOUT_MS = 10_000
REQUEST_TIMEOUT_MS = 8_000

CONFIGURE_SHARDS = """
insert into event_log.relay_configuration (shard_count) values ($1) on conflict do nothing
"""
READ_SHARD_COUNT = "select shard_count from event_log.relay_configuration"
TRY_TO_LEAD = "select pg_try_advisory_lock($1, $2)"
READ_OUTBOX = """
select outbox_id, event_id, topic, key, headers, value
from event_log.outbox
where slot % $1 = $2
order by outbox_id
limit $3
"""
DELETE_PUBLISHED = """
delete from event_log.outbox o
using unnest($1::bigint[], $2::text[]) as published(outbox_id, event_id)
where o.outbox_id = published.outbox_id and o.event_id = published.event_id
"""

Row = asyncpg.Record


class ShardCountMismatch(Exception):
    """Another relay divides the outbox differently; together they would break the order."""

    def __init__(self, configured: int, ours: int) -> None:
        super().__init__(f"the outbox has {configured} shards, this process is set to {ours}")
        self.configured = configured
        self.ours = ours


@dataclass(slots=True)
class RelayStatus:
    """What a relay has done so far; for metrics and tests."""

    leads: bool = False
    terms: int = 0
    published: int = 0
    rounds: int = 0
    recovered: int = 0
    last_fault: str | None = None


@dataclass(slots=True)
class ShardRelay:
    """The supervised relay of one shard; `run` ends only when it is cancelled."""

    database_url: str
    bootstrap_servers: str
    topics: TopicNames
    shard: int = 0
    shard_count: int = 1
    idle_limit: str = LEADER_IDLE_LIMIT
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    status: RelayStatus = field(default_factory=RelayStatus)

    async def run(self) -> None:
        """Leads the shard whenever it can; after any fault it starts over from the cursor."""
        heard = {OUTBOX_CHANNEL: lambda _: self.wake.set()}
        listener = asyncio.create_task(listen(self.database_url, heard))
        try:
            while True:
                await self._lead_until_fault()
                await asyncio.sleep(RESTART_DELAY)
        finally:
            listener.cancel()

    async def _lead_until_fault(self) -> None:
        try:
            async with AsyncExitStack() as term:
                await self._lead(term)
        except ShardCountMismatch:
            raise
        except Exception as fault:
            self.status.last_fault = f"{type(fault).__name__}: {fault}"
            log.warning("relay_term_ended", shard=self.shard, fault=self.status.last_fault)
        finally:
            self.status.leads = False

    async def _lead(self, term: AsyncExitStack) -> None:
        connection = await self._take_lock(term)
        ring = await self._start_ring(term)
        await connection.execute("select 1")
        await self._recover(connection)
        self.status.leads = True
        self.status.terms += 1
        log.info("relay_leads", shard=self.shard, recovered=self.status.recovered)
        turn = 0
        while True:
            self.wake.clear()
            rows = await self._read(connection)
            if rows:
                await self._publish(connection, ring[turn % len(ring)], rows)
                turn += 1
            if len(rows) < MAX_ROUND:
                await self._wait()

    async def _take_lock(self, term: AsyncExitStack) -> Connection:
        connection: Connection = await asyncpg.connect(
            self.database_url,
            timeout=CONNECT_TIMEOUT,
            command_timeout=ROUND_TIMEOUT,
            server_settings={
                "application_name": _application_name(self.shard),
                "tcp_keepalives_idle": "5",
                "idle_session_timeout": self.idle_limit,
            },
        )
        term.callback(connection.terminate)
        await self._check_shard_count(connection)
        # Asked again and again: a wait inside Postgres would outlive a connection that is dead.
        while True:
            if await connection.fetchval(TRY_TO_LEAD, LOCK_CLASS, self.shard):
                return connection
            await asyncio.sleep(LOCK_INTERVAL)

    async def _check_shard_count(self, connection: Connection) -> None:
        await connection.execute(CONFIGURE_SHARDS, self.shard_count)
        configured = await connection.fetchval(READ_SHARD_COUNT)
        if configured != self.shard_count:
            raise ShardCountMismatch(configured, self.shard_count)

    async def _start_ring(self, term: AsyncExitStack) -> list[AIOKafkaProducer]:
        """Initialises the producers: fences a former leader, settles its open transactions."""
        ring = [self._producer(place) for place in range(RING_SIZE)]
        term.push_async_callback(_stop_ring, ring)
        starting = (start_client(producer, START_TIMEOUT) for producer in ring)
        _raise_any(await asyncio.gather(*starting, return_exceptions=True))
        return ring

    def _producer(self, place: int) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            bootstrap_servers=self.bootstrap_servers,
            client_id=f"relay-{self.shard}-{place}",
            transactional_id=transactional_id(self.topics, self.shard, place),
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            acks="all",
            linger_ms=0,
            max_batch_size=256 * 1024,
            max_request_size=4 * 1024 * 1024,
            **kafka_options(),
        )

    async def _recover(self, connection: Connection) -> None:
        async with asyncio.timeout(START_TIMEOUT):
            cursor = await read_last_cursor(self.bootstrap_servers, self.topics.cursor, self.shard)
        deleted = await _delete(connection, cursor)
        self.status.recovered += deleted

    async def _read(self, connection: Connection) -> list[Row]:
        return await connection.fetch(READ_OUTBOX, self.shard_count, self.shard, MAX_ROUND)

    async def _publish(
        self, connection: Connection, producer: AIOKafkaProducer, rows: Sequence[Row]
    ) -> None:
        cursor = Cursor(
            tuple(row["outbox_id"] for row in rows), tuple(row["event_id"] for row in rows)
        )
        fail_point("relay.read")
        async with asyncio.timeout(ROUND_TIMEOUT):
            await producer.begin_transaction()
            await self._send_all(producer, rows, cursor)
            fail_point("relay.before_commit")
            await producer.commit_transaction()
        fail_point("relay.after_commit")
        await _delete(connection, cursor)
        fail_point("relay.deleted")
        self.status.published += len(rows)
        self.status.rounds += 1

    async def _send_all(
        self, producer: AIOKafkaProducer, rows: Sequence[Row], cursor: Cursor
    ) -> None:
        """Returns once every record is acknowledged.

        A commit succeeds even after a record of the transaction failed, so each future is
        looked at; whichever failed, this raises and the transaction is never committed.
        """
        sent: list[asyncio.Future[object]] = []
        try:
            for row in rows:
                headers = [(n, v.encode()) for n, v in orjson.loads(row["headers"]).items()]
                key = row["key"].encode()
                topic = self.topics.named(row["topic"])
                sent.append(await producer.send(topic, row["value"], key, headers=headers))
                fail_point("relay.sent")
            fail_point("relay.before_cursor")
            shard_key = str(self.shard).encode()
            sent.append(
                await producer.send(
                    self.topics.cursor, cursor.encode(), shard_key, partition=self.shard
                )
            )
        except BaseException:
            # What is waiting for a broker that is away would never end by itself.
            for future in sent:
                future.cancel()
            await asyncio.gather(*sent, return_exceptions=True)
            raise
        _raise_any(await asyncio.gather(*sent, return_exceptions=True))

    async def _wait(self) -> None:
        # Not wait_for: until Python 3.12 it may swallow a cancellation.
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_INTERVAL):
                await self.wake.wait()


def transactional_id(topics: TopicNames, shard: int, place: int) -> str:
    """The fixed name of the producer at `place` of the shard's ring: by it a zombie is fenced."""
    return topics.named(f"influencer-relay-{shard}-{place}")


def _raise_any(results: Sequence[object]) -> None:
    for result in results:
        if isinstance(result, BaseException):
            raise result


async def _stop_ring(ring: Sequence[AIOKafkaProducer]) -> None:
    await asyncio.gather(*(stop_client(producer, STOP_TIMEOUT) for producer in ring))


def _application_name(shard: int) -> str:
    """Tells an operator which process leads; Postgres keeps 63 bytes of it."""
    return f"relay-{shard} {socket.gethostname()[:40]}:{os.getpid()}"


async def _delete(connection: Connection, cursor: Cursor) -> int:
    answer = await connection.execute(
        DELETE_PUBLISHED, list(cursor.outbox_ids), list(cursor.event_ids)
    )
    return int(answer.removeprefix("DELETE "))
