"""The relay, shard by shard: what waits, who leads, and how far it has come."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from ulid import ULID

from services.core.clock import timestamp
from services.core.eventlog.cursor import Cursor, last_cursor
from services.core.eventlog.relay import LOCK_CLASS, RING_SIZE, transactional_id
from services.core.postgres import Connection
from services.ops.connections import database, kafka_admin, kafka_consumer
from services.ops.settings import OperationsSettings
from services.ops.transactions import TransactionalId, describe_transactional_id

READ_SHARD_COUNT = "select shard_count from event_log.relay_configuration"
READ_SHARDS = """
select shard, count(o.outbox_id) as depth,
       coalesce(extract(epoch from clock_timestamp() - min(o.created_at)), 0)::float8 as age,
       (array_agg(o.event_id order by o.outbox_id))[1] as oldest
from generate_series(0, $1 - 1) as shard
left join event_log.outbox o on o.slot % $1 = shard
group by shard order by shard
"""
READ_LOCKS = """
select l.objid::int as shard, l.granted, a.pid, a.application_name, host(a.client_addr) as address,
       a.backend_start
from pg_locks l join pg_stat_activity a using (pid)
where l.locktype = 'advisory' and l.objsubid = 2 and l.classid = $1::bigint::oid
  and l.database = (select oid from pg_database where datname = current_database())
order by l.objid, l.granted desc, a.backend_start
"""


@dataclass(frozen=True, slots=True)
class ShardOutbox:
    """`age_seconds`: of the oldest event that waits, whose id is `oldest`."""

    shard: int
    depth: int
    age_seconds: float
    oldest: str | None

    def as_json(self) -> dict[str, Any]:
        return {
            "shard": self.shard,
            "depth": self.depth,
            "ageSeconds": round(self.age_seconds, 3),
            "oldestEventId": self.oldest,
        }


@dataclass(frozen=True, slots=True)
class Contender:
    """A process that leads a shard or waits to: by its connection to Postgres."""

    application: str
    address: str | None
    backend_pid: int
    since: datetime

    @property
    def process(self) -> str:
        """host:pid, as the relay tells it in its application name."""
        return self.application.partition(" ")[2] or self.application

    def as_json(self) -> dict[str, Any]:
        return {
            "application": self.application,
            "address": self.address,
            "backendPid": self.backend_pid,
            "connectedSince": timestamp(self.since),
        }


@dataclass(frozen=True, slots=True)
class ShardRelayReport:
    shard: int
    leader: Contender | None
    waiting: Sequence[Contender]
    transactional_ids: Sequence[TransactionalId]
    cursor: Cursor

    @property
    def last_event_id(self) -> str | None:
        return self.cursor.event_ids[-1] if self.cursor.event_ids else None

    @property
    def last_event_made(self) -> str | None:
        """An event's id tells when it was made."""
        if self.last_event_id is None:
            return None
        return timestamp(ULID.from_str(self.last_event_id.partition("_")[2]).datetime)

    def as_json(self) -> dict[str, Any]:
        return {
            "shard": self.shard,
            "leader": self.leader.as_json() if self.leader else None,
            "waiting": [contender.as_json() for contender in self.waiting],
            "transactionalIds": [described.as_json() for described in self.transactional_ids],
            "lastRound": {
                "events": len(self.cursor.event_ids),
                "lastEventId": self.last_event_id,
                "lastEventMade": self.last_event_made,
            },
        }


async def outbox_by_shard(connection: Connection) -> list[ShardOutbox]:
    """One for each shard; as one shard where no relay has run yet."""
    shard_count = await connection.fetchval(READ_SHARD_COUNT) or 1
    rows = await connection.fetch(READ_SHARDS, shard_count)
    return [ShardOutbox(row["shard"], row["depth"], row["age"], row["oldest"]) for row in rows]


async def report_relay(settings: OperationsSettings) -> list[ShardRelayReport]:
    """One for each shard; none where no relay has run yet. Raises DependencyUnavailable."""
    async with database(settings.database) as connection:
        shard_count = await connection.fetchval(READ_SHARD_COUNT)
        rows = await connection.fetch(READ_LOCKS, LOCK_CLASS)
    shards = range(shard_count or 0)
    async with kafka_admin(settings.kafka) as client:
        described = [await _ring(client, settings, shard) for shard in shards]
    cursors = await _cursors(settings, shards)
    reports = []
    for shard in shards:
        of_shard = [row for row in rows if row["shard"] == shard]
        leaders = [_contender(row) for row in of_shard if row["granted"]]
        waiting = [_contender(row) for row in of_shard if not row["granted"]]
        leader = leaders[0] if leaders else None
        reports.append(ShardRelayReport(shard, leader, waiting, described[shard], cursors[shard]))
    return reports


async def _ring(
    client: AIOKafkaAdminClient, settings: OperationsSettings, shard: int
) -> list[TransactionalId]:
    names = [transactional_id(settings.topics, shard, place) for place in range(RING_SIZE)]
    return await asyncio.gather(*(describe_transactional_id(client, name) for name in names))


async def _cursors(settings: OperationsSettings, shards: range) -> list[Cursor]:
    if not shards:
        return []
    partitions = [TopicPartition(settings.topics.cursor, shard) for shard in shards]
    async with kafka_consumer(settings.kafka) as consumer:
        consumer.assign(partitions)
        return [await last_cursor(consumer, partition) for partition in partitions]


def _contender(row: Any) -> Contender:
    return Contender(row["application_name"], row["address"], row["pid"], row["backend_start"])
