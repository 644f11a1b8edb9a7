"""The database at one moment, for several processes at once, read in the order of keys.

Each reads in a transaction that has taken over the snapshot of the first one. Nothing is locked
against writers; but Postgres keeps dead rows until the snapshot is let go of.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import orjson

from services.core.postgres import Connection
from services.core.readmodel.positions import Partition
from services.core.readmodel.records import StreamId
from services.ops.connections import database
from services.ops.faults import CommandFault
from services.ops.verification.fold import EVENT_DIGEST
from services.ops.verification.store import LaterEvent, QuarantinedRecord

FETCHED = 500
NO_TIMEOUT = 24 * 3600.0

PREPARE = """
set local timezone = 'UTC';
set local idle_in_transaction_session_timeout = 0;
set local statement_timeout = 0;
"""
EXPORT = "select pg_export_snapshot()"
# Rows of the catalog are those of the snapshot; what a name means is looked up in the catalog of
# now, by every statement: a rebuild may have put other tables in their place.
ARE_REPLACED = """
select exists (
    select from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname in ('read_model', 'event_log') and c.relkind = 'r'
      and c.oid is distinct from to_regclass(format('%I.%I', n.nspname, c.relname))
)
"""
LOCK_TABLES = """
lock table event_log.streams, read_model.influencers, read_model.jobs, read_model.events,
    read_model.media_assets, read_model.quarantine in access share mode
"""

READ_POSITIONS = "select topic, partition, next_offset from read_model.projection_offsets"
FIND_QUARANTINED = """
select topic, stream_key, min(record_offset) as first
from read_model.quarantine where not repeated group by topic, stream_key
"""
READ_OUTBOX = "select topic, key, headers, value from event_log.outbox order by outbox_id"
READ_QUARANTINE = """
select topic, partition, record_offset, stream_key, reason
from read_model.quarantine order by topic collate "C", partition, record_offset
"""

_IN_RANGE = "(organization_id, {id}) >= ($1, $2) and (organization_id, {id}) < ($3, $4)"
_ORDER = "order by organization_id, {id}"
READ_STREAMS = f"""
select organization_id::text || '/' || stream_id as key, organization_id::text, stream_id,
    sequence, state
from event_log.streams
where {_IN_RANGE} {_ORDER}
""".format(id="stream_id")
READ_INFLUENCERS = f"""
select organization_id::text || '/' || influencer_id as key, organization_id::text, influencer_id,
    project_id::text, status, sequence, created_at, state
from read_model.influencers
where {_IN_RANGE} {_ORDER}
""".format(id="influencer_id")
JOB_COLUMNS = """job_id, organization_id::text, project_id::text, influencer_id, stream_id, kind,
    status, sequence, created_at, state"""
_JOBS = f"""
select organization_id::text || '/' || {{id}} as key, {JOB_COLUMNS}
from read_model.jobs
where {_IN_RANGE} and {{kinds}} {_ORDER}
"""
# In two, so that each is read in the order of an index.
READ_RENDER_JOBS = _JOBS.format(id="influencer_id", kinds="kind <> 'content_generate'")
READ_CONTENT_JOBS = _JOBS.format(id="stream_id", kinds="kind = 'content_generate'")
READ_EVENTS = f"""
select organization_id::text || '/' || stream_id as key,
    string_agg({EVENT_DIGEST}, ''::bytea order by sequence) as digests
from read_model.events
where {_IN_RANGE}
group by organization_id, stream_id {_ORDER}
""".format(id="stream_id")
ASSET_COLUMNS = """organization_id::text, asset_id, project_id::text, influencer_id, created_at,
    state"""
READ_ASSETS = f"""
select organization_id::text || '/' || asset_id as key, {ASSET_COLUMNS}
from read_model.media_assets
where {_IN_RANGE} {_ORDER}
""".format(id="asset_id")
READ_STREAM_EVENTS = f"""
select organization_id::text, stream_id, sequence, topic, partition, record_offset, event_id, type,
    version, project_id::text, occurred_at, source, correlation_id, causation_id, traceparent,
    data::text, {EVENT_DIGEST} as digest
from read_model.events
where organization_id = $1 and stream_id = $2
order by sequence
"""

LOWEST = "00000000-0000-0000-0000-000000000000/"
HIGHEST = "ffffffff-ffff-ffff-ffff-ffffffffffff/\U0010ffff"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`id` is what Postgres calls it, as long as the transaction that made it is open."""

    id: str


class ReadModelsReplaced(CommandFault):
    def __init__(self) -> None:
        super().__init__("a rebuild has replaced the read models meanwhile: begin again")


@asynccontextmanager
async def taken_snapshot(database_url: str) -> AsyncIterator[tuple[Connection, Snapshot]]:
    """A snapshot and a connection that sees it. Raises DependencyUnavailable, NotMigrated."""
    async with (
        database(database_url) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        await connection.execute(PREPARE)
        yield connection, Snapshot(await connection.fetchval(EXPORT))


@asynccontextmanager
async def shared_snapshot(database_url: str, snapshot: Snapshot) -> AsyncIterator[Connection]:
    """Another connection that sees `snapshot`. Raises DependencyUnavailable."""
    async with (
        database(database_url) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        await connection.execute(f"set transaction snapshot '{snapshot.id}'")
        await connection.execute(PREPARE)
        await connection.execute(LOCK_TABLES)
        yield connection


async def require_same_tables(connection: Connection) -> None:
    """That what was read until now was read from the tables of the snapshot.

    Raises ReadModelsReplaced.
    """
    if await connection.fetchval(ARE_REPLACED):
        raise ReadModelsReplaced


async def read_positions(connection: Connection) -> dict[Partition, int]:
    """Raises ReadModelsReplaced, as everything here that reads."""
    rows = await connection.fetch(READ_POSITIONS)
    await require_same_tables(connection)
    return {Partition(row["topic"], row["partition"]): row["next_offset"] for row in rows}


async def find_quarantined(connection: Connection) -> dict[StreamId, int]:
    """The streams in quarantine, and the offset from which on."""
    rows = await connection.fetch(FIND_QUARANTINED)
    await require_same_tables(connection)
    return {StreamId(row["topic"], row["stream_key"]): row["first"] for row in rows}


async def read_outbox(connection: Connection) -> AsyncIterator[list[LaterEvent]]:
    async for rows in _read(connection, READ_OUTBOX):
        yield [_waiting(row) for row in rows]


async def read_quarantine(connection: Connection) -> AsyncIterator[QuarantinedRecord]:
    async for rows in _read(connection, READ_QUARANTINE):
        for row in rows:
            yield QuarantinedRecord(*row.values())


async def read_rows(
    connection: Connection, query: str, low: str, high: str
) -> AsyncIterator[dict[str, Any]]:
    """Rows with low <= key < high, in the order of `key`; a `state` is parsed."""
    async for rows in _read(connection, query, *_parts(low), *_parts(high)):
        for row in rows:
            read = dict(row)
            if "state" in read:
                read["state"] = orjson.loads(read["state"])
            yield read


async def read_stream_events(connection: Connection, key: str) -> dict[int, dict[str, Any]]:
    """The stream's rows by sequence; `digest` among the columns."""
    rows = await connection.fetch(READ_STREAM_EVENTS, *_parts(key), timeout=NO_TIMEOUT)
    await require_same_tables(connection)
    return {row["sequence"]: dict(row) for row in rows}


async def _read(
    connection: Connection, query: str, *arguments: object
) -> AsyncIterator[list[asyncpg.Record]]:
    cursor = await connection.cursor(query, *arguments, timeout=NO_TIMEOUT)
    await require_same_tables(connection)
    while rows := await cursor.fetch(FETCHED, timeout=NO_TIMEOUT):
        yield rows


def _parts(key: str) -> tuple[str, str]:
    organization_id, _, stream_id = key.partition("/")
    return organization_id, stream_id


def _waiting(row: asyncpg.Record) -> LaterEvent:
    headers: dict[str, str] = orjson.loads(row["headers"])
    sequence = headers.get("ce_sequence", "")
    return LaterEvent(
        row["key"],
        int(sequence) if sequence.isdecimal() else 0,
        row["topic"],
        True,
        orjson.dumps(list(headers.items())),
        row["value"],
    )
