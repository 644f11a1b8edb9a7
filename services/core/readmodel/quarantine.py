"""Streams in quarantine, applied again, in order; or without their first record, which is skipped.

All of it happens in one transaction that holds the positions of the stream's partitions, so no
projector can park further records of it meanwhile; one that has folded some already finds at its
commit that the stream is free, and folds them anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import asyncpg
import orjson

from services.core.notifications import READ_MODEL_CHANNEL
from services.core.postgres import Connection
from services.core.readmodel.apply import Changes, apply
from services.core.readmodel.positions import Move, Partition, advance_positions, read_positions
from services.core.readmodel.project import BOUND_IDLENESS, UNWRITABLE, find_met
from services.core.readmodel.recent import RecentStates
from services.core.readmodel.records import (
    Headers,
    LogRecord,
    StreamId,
    is_canonical_uuid,
    read_record,
)
from services.core.readmodel.repeats import find_written
from services.core.readmodel.rows import QuarantineRow, quarantine_row
from services.core.readmodel.schema import LIVE, in_schema
from services.core.readmodel.store import find_states, write, written_rows

READ = """
select topic, partition, record_offset, stream_key, reason, headers, value, quarantined_at,
    repeated
from read_model.quarantine where topic = $1 and stream_key = $2 and repeated = $3
order by partition, record_offset
"""
PLACES = """
select distinct topic, partition from read_model.quarantine where topic = $1 and stream_key = $2
"""
FREE = """
delete from read_model.quarantine where (topic, partition, record_offset) = ($1, $2, $3)
"""
EXPLAIN = """
update read_model.quarantine set reason = $4, repeated = $5
where (topic, partition, record_offset) = ($1, $2, $3)
"""
SKIP = """
insert into control.skipped_records (topic, partition, record_offset, stream_key, sequence_after,
    fault, reason, skipped_by, headers, value)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
on conflict (topic, partition, record_offset) do update
set stream_key = excluded.stream_key, sequence_after = excluded.sequence_after,
    fault = excluded.fault, reason = excluded.reason, skipped_by = excluded.skipped_by,
    skipped_at = now(), headers = excluded.headers, value = excluded.value
"""


class NotQuarantined(Exception):
    """The stream has no record in quarantine."""

    def __init__(self, stream: StreamId) -> None:
        super().__init__(f"{stream.key or 'the stream without a key'} is not in quarantine")
        self.stream = stream


class SequenceUnclear(Exception):
    """Where the stream goes on after the skip can't be told from the records."""

    def __init__(self, says: int, expected: int) -> None:
        super().__init__(f"the record says that it is number {says}, {expected} is expected")
        self.says = says
        self.expected = expected


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a stream's parked records; `reason` is the first remaining one's.

    `repeated` are events that were there already: they stay in quarantine, and hold nothing up.
    """

    applied: int = 0
    skipped: int = 0
    repeated: int = 0
    remaining: int = 0
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class SkipRequest:
    """`sequence_after` is only needed where the records don't tell."""

    reason: str
    by: str
    sequence_after: int | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    record: LogRecord
    sequence_after: int
    then: Settled


@dataclass(slots=True)
class StoredRecord:
    """A record that is kept in Postgres, as a consumer gave it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    headers: Headers
    value: bytes | None


def stored_record(row: asyncpg.Record) -> StoredRecord:
    """The record of a row of `read_model.quarantine` or `control.skipped_records`."""
    headers = [
        (name, None if value is None else value.encode("latin-1"))
        for name, value in orjson.loads(row["headers"])
    ]
    return StoredRecord(
        row["topic"],
        row["partition"],
        row["record_offset"],
        row["stream_key"].encode(),
        headers,
        row["value"],
    )


async def retry(connection: Connection, stream: StreamId, schema: str = LIVE) -> Settled:
    """Applies the stream's parked records until one still fails; that one and the rest stay.

    Within the caller's transaction. Raises NotQuarantined; PositionMoved when a projector or a
    rebuild was faster: try again.
    """
    rows = await _held(connection, stream, schema)
    return await _settle(connection, [read_record(stored_record(row)) for row in rows], schema)


async def skip(connection: Connection, stream: StreamId, request: SkipRequest) -> Skipped:
    """Gives up the stream's first parked record, for good, and applies the others as `retry` does.

    Of a stream that isn't held up, the first repeated event. Raises NotQuarantined,
    SequenceUnclear, PositionMoved.
    """
    rows = await _held(connection, stream, LIVE, or_repeated=True)
    records = [read_record(stored_record(row)) for row in rows]
    after = request.sequence_after
    if after is None and rows[0]["repeated"]:
        after = stated_sequence(records[0]) or 0
    elif after is None:
        after = sequence_after_skip(await _sequence(connection, records[0]), records)
    await connection.execute(
        SKIP,
        *(rows[0][name] for name in ("topic", "partition", "record_offset", "stream_key")),
        after,
        rows[0]["reason"],
        request.reason,
        request.by,
        rows[0]["headers"],
        rows[0]["value"],
    )
    return Skipped(records[0], after, await _settle(connection, records, LIVE))


def sequence_after_skip(reached: int, records: Sequence[LogRecord]) -> int:
    """Where a stream that has reached `reached` stands once the first of `records` is skipped.

    The record stands for the next event when it says so, or when it can't be read and the one
    after it follows on that. One that is no event of the stream, or an old one, leaves the stream
    where it is. Raises SequenceUnclear for one that is ahead, unless the next one tells.
    """
    expected = reached + 1
    own = stated_sequence(records[0])
    following = next((n for n in map(stated_sequence, records[1:]) if n is not None), None)
    if own is None:
        return expected if following == expected + 1 else reached
    if own <= expected:
        return max(own, reached)
    if following == own + 1:  # what is missing before it is given up too
        return own
    if following == expected + 1:  # its number is wrong
        return expected
    raise SequenceUnclear(own, expected)


def stated_sequence(record: LogRecord) -> int | None:
    """The record's number in its stream, as its headers state it, also when nothing else of it
    can be read; None for a foreign one."""
    headers = dict(record.headers)
    written = headers.get("ce_sequence") or b""
    owner = (headers.get("ce_organizationid") or b"") + b"/" + (headers.get("ce_subject") or b"")
    is_ours = owner == record.stream.key.encode() and written.isdigit() and len(written) < 19
    return int(written) if is_ours else None


async def _held(
    connection: Connection, stream: StreamId, schema: str, *, or_repeated: bool = False
) -> Sequence[Any]:
    """The stream's rows; the positions of their partitions are held from here on."""
    await connection.execute(BOUND_IDLENESS)
    places = await connection.fetch(in_schema(PLACES, schema), *stream)
    positions = await read_positions(connection, {Partition(*place) for place in places}, schema)
    await advance_positions(
        connection,
        {p: Move(at.next_offset, at.next_offset, at.build) for p, at in positions.items()},
        schema,
    )
    rows = await connection.fetch(in_schema(READ, schema), *stream, False)
    if not rows and or_repeated:
        rows = (await connection.fetch(in_schema(READ, schema), *stream, True))[:1]
    if not rows:
        raise NotQuarantined(stream)
    return rows


async def _settle(connection: Connection, records: Sequence[LogRecord], schema: str) -> Settled:
    try:
        async with connection.transaction():
            return await _apply(connection, records, schema)
    except UNWRITABLE as fault:
        if len(records) == 1:
            reason = f"{type(fault).__name__}: {fault}"
            await _explain(connection, quarantine_row(records[0], reason), schema)
            return Settled(remaining=1, reason=reason)
    middle = len(records) // 2
    first = await _settle(connection, records[:middle], schema)
    if first.remaining:
        return replace(first, remaining=first.remaining + len(records) - middle)
    second = await _settle(connection, records[middle:], schema)
    return replace(
        second,
        applied=first.applied + second.applied,
        skipped=first.skipped + second.skipped,
        repeated=first.repeated + second.repeated,
    )


async def _apply(connection: Connection, records: Sequence[LogRecord], schema: str) -> Settled:
    changes = await _fold(connection, records, schema)
    repeated = [row for row in changes.quarantine if row.repeated]
    still_parked = [row for row in changes.quarantine if not row.repeated]
    changes.quarantine = []
    await write(connection, written_rows(changes), copied=False, schema=schema)
    done = records[: len(records) - len(still_parked)]
    places = {(r.stream.topic, r.partition, r.offset) for r in done}
    free = in_schema(FREE, schema)
    await connection.executemany(free, sorted(places - {row[:3] for row in repeated}))
    for row in (*repeated, *still_parked[:1]):
        await _explain(connection, row, schema)
    await connection.execute("select pg_notify($1, '')", READ_MODEL_CHANNEL)
    reason = still_parked[0].reason if still_parked else None
    return Settled(len(changes.events), changes.skipped, len(repeated), len(still_parked), reason)


async def _fold(connection: Connection, records: Sequence[LogRecord], schema: str) -> Changes:
    found = await find_met(connection, records, RecentStates(), schema)
    written = await find_written(connection, records, schema)
    return apply(records, found.states, skips=found.skips, written=written)


async def _sequence(connection: Connection, record: LogRecord) -> int:
    """What the stream has reached in the read models; 0 where it has no row."""
    organization_id, _, stream_id = record.stream.key.partition("/")
    if not is_canonical_uuid(organization_id):
        return 0
    state = (await find_states(connection, [(organization_id, stream_id)])).get(record.stream.key)
    return state.sequence if state else 0


async def _explain(connection: Connection, row: QuarantineRow, schema: str) -> None:
    await connection.execute(
        in_schema(EXPLAIN, schema),
        row.topic,
        row.partition,
        row.record_offset,
        row.reason,
        row.repeated,
    )
