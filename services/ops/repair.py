"""One stream's rows made anew from the log, in one transaction.

It locks what an append and a projector lock, in their order: the stream's row, so that log and
outbox hold every event of it; the position of its partition, so that nobody folds meanwhile; rows
of influencers, rows of jobs. Rows are written as of the stream's last event, as an append does, so
no reader sees one go back.
"""

import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import asyncpg
import orjson
from aiokafka import TopicPartition

from schemas.events import Event, MediaAssetUploaded, decode
from services.core.domain.aggregates import StreamState, aggregate_of
from services.core.domain.errors import ImpossibleEvent
from services.core.domain.media import MediaAssetStream
from services.core.domain.state import Job
from services.core.notifications import READ_MODEL_CHANNEL
from services.core.postgres import Connection
from services.core.readmodel.apply import Changes, apply
from services.core.readmodel.positions import (
    Move,
    Partition,
    advance_positions,
    count_repair,
    read_positions,
)
from services.core.readmodel.project import BOUND_IDLENESS
from services.core.readmodel.records import LogRecord, StreamId, read_record
from services.core.readmodel.repeats import WrittenRows
from services.core.readmodel.rows import state_json
from services.core.readmodel.skips import find_skips
from services.core.replay.reading import LogIncomplete, Span, log_spans, read_chunks
from services.ops.connections import database
from services.ops.faults import CommandFault, OperatorMistake
from services.ops.history import read_history
from services.ops.progress import progress
from services.ops.quarantine import changed
from services.ops.repair_rows import (
    KEYS,
    comparable,
    quarantine_key,
    remove_row,
    rows_of_stream,
    write_row,
)
from services.ops.running_jobs import queue_running_jobs
from services.ops.settings import OperationsSettings
from services.ops.streams import StreamAddress, find_streams, topic_of
from services.ops.verification.compare import (
    ASSETS,
    EVENTS,
    INFLUENCERS,
    JOBS,
    QUARANTINE,
    STREAMS,
    influencer_columns,
    job_columns,
    stream_columns,
    upload_columns,
)
from services.ops.verification.differences import Comparison, Difference, Row
from services.ops.verification.fold import asset_columns

CHUNK = 4000
"""Records."""

LOCK_STREAM = """
select sequence, state - 'sequence' = '{}' as refuses
from event_log.streams where (organization_id, stream_id) = ($1, $2) for update
"""
READ_OUTBOX = "select headers, value from event_log.outbox where key = $1 order by outbox_id"


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream, and where on the log it is; `span` is all of its partition as of the beginning."""

    address: StreamAddress
    partition: Partition
    span: Span

    @property
    def id(self) -> StreamId:
        return StreamId(self.partition.topic, self.key)

    @property
    def key(self) -> str:
        return self.address.key.decode()


@dataclass(frozen=True, slots=True)
class Repaired:
    """`differences` are what was wrong; `sequence` is what the rows hold now."""

    stream: Stream
    sequence: int
    differences: Sequence[Difference]
    quarantined: str | None

    def as_json(self) -> dict[str, Any]:
        return {
            "stream": self.stream.key,
            "topic": self.stream.partition.topic,
            "partition": self.stream.partition.partition,
            "sequence": self.sequence,
            "quarantined": self.quarantined,
            "differences": [each.told() for each in self.differences],
        }


async def find_stream(
    settings: OperationsSettings, stream_id: str, organization_id: str | None
) -> Stream:
    """Raises CommandFault when it isn't there, OperatorMistake when several organizations have
    it."""
    found = await find_streams(settings, stream_id, organization_id)
    if len(found) > 1:
        organizations = ", ".join(address.organization_id for address in found)
        raise OperatorMistake(f"several have {stream_id}, say --organization: {organizations}")
    if not found:  # its row may be what is missing
        found = [(await read_history(settings, stream_id, organization_id)).address]
    return await _placed(settings, found[0])


async def read_stream(settings: OperationsSettings, stream: Stream) -> list[LogRecord]:
    """Its records, in order; reads all of its partition."""
    with progress("reading the partition", stream.span.length, unit="offsets") as meter:
        records: list[LogRecord] = []
        spans = {stream.partition: stream.span}
        async for chunk in read_chunks(settings.kafka, spans, size=CHUNK):
            wanted = (record for record in chunk.records if record.key == stream.address.key)
            records += map(read_record, wanted)
            meter.reach(chunk.positions.get(stream.partition, 0))
    return records


async def repair(
    settings: OperationsSettings, stream: Stream, records: Sequence[LogRecord], *, dry_run: bool
) -> Repaired:
    """Makes the stream's rows what `records`, those after them and the outbox say.

    Raises CommandFault, DependencyUnavailable.
    """
    async with database(settings.database) as connection:

        async def change() -> Repaired:
            return await _repair(connection, settings, stream, records)

        return await changed(connection, change, dry_run=dry_run)


async def _placed(settings: OperationsSettings, address: StreamAddress) -> Stream:
    topic = topic_of(address.stream_id, settings.topics)
    spans = await _spans(settings, topic)
    place = address.among([TopicPartition(*partition) for partition in sorted(spans)])
    return Stream(address, Partition(*place), spans[Partition(*place)])


async def _spans(settings: OperationsSettings, topic: str) -> dict[Partition, Span]:
    try:
        return await log_spans(settings.kafka, [topic])
    except LogIncomplete as fault:
        raise CommandFault(str(fault)) from fault


async def _repair(
    connection: Connection,
    settings: OperationsSettings,
    stream: Stream,
    records: Sequence[LogRecord],
) -> Repaired:
    await connection.execute(BOUND_IDLENESS)
    written = await _lock(connection, stream)
    position = await _hold_position(connection, stream.partition)
    outbox = await connection.fetch(READ_OUTBOX, stream.key)
    # After the outbox: what the relay has taken from it is on the log by now.
    records = [*records, *await _records_since(settings, stream)]
    if not records and not outbox:
        raise CommandFault(f"there is no {stream.address.stream_id} on the log")
    waiting = [*map(_waiting, outbox)]
    fold = await _Fold.of(connection, stream, records, position, waiting, refuses=written.refuses)
    differences = await _write_differences(connection, stream, fold, written.sequence)
    if differences:
        await count_repair(connection, stream.partition)
        await connection.execute("select pg_notify($1, '')", READ_MODEL_CHANNEL)
    if fold.running_job:
        await queue_running_jobs(connection, fold.running_job)
    return Repaired(stream, fold.sequence, differences, fold.fault)


class _WriteSide(NamedTuple):
    """The sequence that it has reached; it `refuses` appends where a restore knew no state."""

    sequence: int
    refuses: bool


async def _lock(connection: Connection, stream: Stream) -> _WriteSide:
    """No append goes on from it meanwhile."""
    address = stream.address
    found = await connection.fetchrow(LOCK_STREAM, address.organization_id, address.stream_id)
    return _WriteSide(*found) if found else _WriteSide(0, False)


async def _hold_position(connection: Connection, partition: Partition) -> int:
    at = (await read_positions(connection, [partition]))[partition]
    await advance_positions(connection, {partition: Move(at.next_offset, at.next_offset, at.build)})
    return at.next_offset


async def _records_since(settings: OperationsSettings, stream: Stream) -> list[LogRecord]:
    end = (await _spans(settings, stream.partition.topic))[stream.partition].end
    since = Stream(stream.address, stream.partition, Span(stream.span.end, end))
    return await read_stream(settings, since)


def _waiting(row: asyncpg.Record) -> Event:
    headers: dict[str, str] = orjson.loads(row["headers"])
    return decode([(name, value.encode()) for name, value in headers.items()], row["value"])


class _Fold:
    """What a stream's records come to.

    `is_exact`: to its last event, as the write side has it too. Behind a record in quarantine or
    one that was skipped as an event it is not, unless the write side `refuses` to say and takes
    what the fold says.
    """

    def __init__(self, stream: Stream, changes: Changes, *, refuses: bool) -> None:
        self._stream = stream
        self._changes = changes
        self._state: StreamState | None = changes.streams.get(stream.key)
        self._jobs: dict[str, Job] = dict(changes.jobs)
        self.rows: dict[str, dict[str, Row]] = defaultdict(dict)
        self.is_exact = not changes.parked and (refuses or not changes.passed)

    @staticmethod
    async def of(
        connection: Connection,
        stream: Stream,
        records: Sequence[LogRecord],
        position: int,
        outbox: Iterable[Event],
        *,
        refuses: bool,
    ) -> "_Fold":
        projected = [record for record in records if record.offset < position]
        skips = await find_skips(connection, [stream.id])
        changes = apply(projected, {}, skips=skips, written=WrittenRows())
        fold = _Fold(stream, changes, refuses=refuses)
        fold._take_uploads(projected)
        if fold.is_exact:
            later = [record.event for record in records if record.offset >= position]
            fold._go_on([*(event for event in later if event), *outbox])
        fold._expect()
        return fold

    @property
    def sequence(self) -> int:
        return self._state.sequence if self._state else 0

    @property
    def running_job(self) -> str | None:
        job = getattr(self._state, "job", None)
        return job.job_id if self.is_exact and job and job.is_running else None

    @property
    def fault(self) -> str | None:
        """Why the log can't be folded to its end."""
        parked = (row.reason for row in self._changes.quarantine if not row.repeated)
        return next(parked, None)

    def _take_uploads(self, records: Sequence[LogRecord]) -> None:
        for record in records:
            if record.event and type(record.event.data) is MediaAssetUploaded:
                self._state = self._state or self._evolved(record.event)

    def _go_on(self, events: Sequence[Event]) -> None:
        by_sequence = {event.sequence: event for event in events}
        while event := by_sequence.get(self.sequence + 1):
            try:
                self._state = self._evolved(event)
            except ImpossibleEvent:
                return  # the projector will say what is wrong with it
            job = getattr(self._state, "job", None)
            if job:
                self._jobs[job.job_id] = job

    def _evolved(self, event: Event) -> StreamState:
        aggregate = aggregate_of(event.subject)
        return aggregate.evolve(self._state or aggregate.initial_state, event)

    def _expect(self) -> None:
        changes, key = self._changes, self._stream.key
        state: dict[str, Any] = orjson.loads(state_json(self._state)) if self._state else {}
        if self.is_exact and state:
            self.rows[STREAMS][key] = stream_columns(key, self.sequence, state)
        if "influencer" in state:
            self.rows[INFLUENCERS][key] = influencer_columns(state["influencer"], self.sequence)
        for job in self._jobs.values():
            self.rows[JOBS][job.job_id] = job_columns(orjson.loads(state_json(job)))
        for event in changes.events:
            self.rows[EVENTS][f"{key}/{event.sequence}"] = event._asdict()
        for asset in (*changes.assets, *changes.uploads):
            place = f"{asset.organization_id}/{asset.asset_id}"
            self.rows[ASSETS].setdefault(place, asset_columns(asset))
        if isinstance(self._state, MediaAssetStream):
            self.rows[ASSETS][key] = upload_columns(key, state)
        for parked in changes.quarantine:
            self.rows[QUARANTINE][quarantine_key(parked._asdict())] = parked._asdict()


async def _write_differences(
    connection: Connection, stream: Stream, fold: _Fold, written: int
) -> list[Difference]:
    """`written` is the sequence that the write side has reached."""
    found = await rows_of_stream(connection, stream.key, stream.id, fold.rows)
    if not fold.is_exact:
        _leave_alone_what_is_ahead(fold, found, written)
    comparison = Comparison(limit=sys.maxsize)
    for model in KEYS:
        expected, there = fold.rows[model], found[model]
        for key in sorted({*expected, *there}):
            due, row = expected.get(key), there.get(key)
            counted = len(comparison.differences)
            comparison.compare(model, key, comparable(model, due), comparable(model, row))
            if len(comparison.differences) > counted:
                await _put_right(connection, model, due, row)
    return comparison.differences


def _leave_alone_what_is_ahead(
    fold: _Fold, found: Mapping[str, dict[str, Row]], written: int
) -> None:
    """Where the log can't be folded to its end, the write side alone knows of what is behind."""
    found[STREAMS].clear()
    for model in (INFLUENCERS, JOBS):
        for key, row in list(found[model].items()):
            due = fold.rows[model].get(key)
            if (due["sequence"] if due else 0) < row["sequence"] <= written:
                del found[model][key]
                fold.rows[model].pop(key, None)


async def _put_right(connection: Connection, model: str, due: Row | None, row: Row | None) -> None:
    if due is not None:
        await write_row(connection, model, due)
    elif row is not None:
        await remove_row(connection, model, row)
