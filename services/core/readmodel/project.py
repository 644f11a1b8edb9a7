"""One batch of the log into the read models: everything in one transaction, or nothing."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from schemas.events import MediaAssetUploaded
from services.core.failpoints import fail_point
from services.core.postgres import Connection
from services.core.readmodel.apply import Changes, JobStream, apply, park
from services.core.readmodel.positions import Move, Partition, PositionMoved, advance_positions
from services.core.readmodel.recent import RecentStates
from services.core.readmodel.records import LogRecord, StreamId
from services.core.readmodel.repeats import find_written
from services.core.readmodel.schema import LIVE
from services.core.readmodel.skips import Skips, find_skips, skipped_keys
from services.core.readmodel.store import (
    REJECTIONS,
    Rows,
    find_quarantined,
    find_states,
    write,
    written_rows,
)


class AlreadyThere(Exception):
    """Events of the batch, or others with their sequences, were folded before."""


# JSON that can't be spelled is a ValueError already here, the rest is for Postgres to say.
UNWRITABLE = (*REJECTIONS, ValueError, AlreadyThere)

# A stopped process must not keep rows locked: its successor is waiting for them.
BOUND_IDLENESS = "set local idle_in_transaction_session_timeout = '5s'"


@dataclass(frozen=True, slots=True)
class Batch:
    """Records, each partition's in order, and how its positions move when they are applied."""

    records: Sequence[LogRecord]
    moves: Mapping[Partition, Move]


NOTHING = Batch((), {})


class Found(NamedTuple):
    """What records meet in the read models: states by key, streams in quarantine, and skips."""

    states: dict[str, JobStream]
    quarantined: frozenset[StreamId]
    skips: Skips


@dataclass(slots=True)
class Projected:
    """What became of a batch."""

    applied: int = 0
    quarantined: int = 0
    streams_parked: int = 0

    def add(self, other: "Projected") -> None:
        self.applied += other.applied
        self.quarantined += other.quarantined
        self.streams_parked += other.streams_parked


async def fold(
    connection: Connection,
    batch: Batch,
    recent: RecentStates,
    parked: Collection[StreamId] = (),
    schema: str = LIVE,
) -> Changes:
    """What `batch` does to the read models as they are once what led to `recent` is written.

    That may still be on its way, and so may the quarantine of the streams in `parked`.
    """
    found = await find_met(connection, batch.records, recent, schema)
    quarantined = found.quarantined.union(parked)
    return apply(batch.records, found.states, quarantined, skips=found.skips)


async def find_met(
    connection: Connection, records: Sequence[LogRecord], recent: RecentStates, schema: str = LIVE
) -> Found:
    """What read models hold of the streams of `records`; of what is at hand, only whether it is
    in quarantine."""
    streams = {record.stream for record in records}
    quarantined = await find_quarantined(connection, streams, schema)
    recent.forget(quarantined)
    states = recent.among(stream.key for stream in streams)
    skips = await find_skips(connection, streams)
    unknown = _unknown_keys(records, states) | skipped_keys(skips, states)
    states |= await find_states(connection, unknown, schema)
    return Found(states, quarantined, skips)


async def commit(
    connection: Connection, batch: Batch, changes: Changes, schema: str = LIVE
) -> Projected:
    """Writes `changes` and moves the positions, in one transaction.

    Raises PositionMoved; one of UNWRITABLE when Postgres can't hold something of them, or when an
    event is on the log again: `project` deals with both.
    """
    rows = written_rows(changes)
    await _commit(connection, batch, changes, rows, schema, copied=rows.may_be_copied)
    return _projected(changes)


def _projected(changes: Changes) -> Projected:
    return Projected(len(changes.events), len(changes.quarantine), len(changes.parked))


async def _commit(
    connection: Connection,
    batch: Batch,
    changes: Changes,
    rows: Rows,
    schema: str,
    *,
    copied: bool,
    checked: bool = False,
) -> None:
    async with connection.transaction():
        await connection.execute(BOUND_IDLENESS)
        await advance_positions(connection, batch.moves, schema)
        await _require_still_parked(connection, batch, changes, schema)
        there = await write(connection, rows, copied=copied, schema=schema)
        # Rows of assets are the append's too, but only of the live ones.
        if not checked and (there.events or (schema != LIVE and there.assets)):
            raise AlreadyThere
        fail_point("projector.before_commit")
    fail_point("projector.after_commit")


async def _require_still_parked(
    connection: Connection, batch: Batch, changes: Changes, schema: str
) -> None:
    """That nobody has freed a stream whose records are to follow it into quarantine.

    Whoever frees one holds its position meanwhile, as this transaction does.
    """
    waiting = (row for row in changes.quarantine if not row.repeated)
    followed = {StreamId(row.topic, row.stream_key) for row in waiting} - changes.parked
    if followed and followed - await find_quarantined(connection, followed, schema):
        raise PositionMoved(batch.moves)


async def project(connection: Connection, batch: Batch, schema: str = LIVE) -> Projected:
    """Applies `batch`, in one transaction unless Postgres can't hold something of it.

    Then halves of it are applied, each in its own transaction, until the one record is found
    that is unwritable; its stream goes to quarantine. Each event is looked for among those that
    were folded before. Raises PositionMoved.
    """
    try:
        return await _project_checked(connection, batch, schema)
    except UNWRITABLE as fault:
        if len(batch.records) == 1:
            return await _park(connection, batch, f"{type(fault).__name__}: {fault}", schema)
    projected = Projected()
    for half in halves(batch):
        projected.add(await project(connection, half, schema))
    return projected


async def _project_checked(connection: Connection, batch: Batch, schema: str) -> Projected:
    found = await find_met(connection, batch.records, RecentStates(), schema)
    written = await find_written(connection, batch.records, schema)
    changes = apply(
        batch.records, found.states, found.quarantined, skips=found.skips, written=written
    )
    rows = written_rows(changes)
    await _commit(connection, batch, changes, rows, schema, copied=False, checked=True)
    return _projected(changes)


def halves(batch: Batch) -> tuple[Batch, Batch]:
    """`batch` cut in the middle; the positions follow."""
    middle = len(batch.records) // 2
    first, second = batch.records[:middle], batch.records[middle:]
    between = {partition: move.expected for partition, move in batch.moves.items()}
    for record in first:
        between[partition_of(record)] = record.offset + 1
    remaining = {partition_of(record) for record in second}
    first_moves, second_moves = {}, {}
    for partition, move in batch.moves.items():
        if partition in remaining:
            second_moves[partition] = move._replace(expected=between[partition])
            if between[partition] > move.expected:
                first_moves[partition] = move._replace(next_offset=between[partition])
        else:
            first_moves[partition] = move
    return Batch(first, first_moves), Batch(second, second_moves)


def partition_of(record: LogRecord) -> Partition:
    return Partition(record.stream.topic, record.partition)


async def _park(connection: Connection, batch: Batch, reason: str, schema: str) -> Projected:
    record = batch.records[0]
    quarantined = await find_quarantined(connection, {record.stream}, schema)
    changes = park(record, reason, record.stream in quarantined)
    return await commit(connection, batch, changes, schema)


def _unknown_keys(records: Sequence[LogRecord], states: Collection[str]) -> set[tuple[str, str]]:
    return {
        (record.event.organization_id, record.event.subject)
        for record in records
        if record.event
        and record.stream.key not in states
        and type(record.event.data) is not MediaAssetUploaded
    }
