"""Streams and read models from the log alone, onto an empty database.

1. The read models are folded from offset 0, in several processes; each batch is one transaction
   with its positions, so a killed restore goes on where it was.
2. In one transaction: the streams are cut from the read models, and the jobs that still run are
   queued again, for the renderer has read their events long ago. Streams in quarantine get rows
   that refuse every command, or the same id could begin anew at sequence 1; `repair` ends that.

Afterwards the next append of a stream takes its next sequence, the projector goes on at the
positions, and the relay at an empty outbox; its last cursor on Kafka names events that are gone,
and their ids, so it deletes nothing. The content service reads the log from the beginning, since
its own positions are gone too.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from services.core.failpoints import fail_point
from services.core.postgres import Connection
from services.core.readmodel.positions import Partition, PositionMoved, positions_of
from services.core.readmodel.rebuild.filling import Filled, Sources, fill
from services.core.readmodel.schema import LIVE
from services.core.replay.processes import WorkerFailed
from services.core.replay.reading import LogIncomplete, Span, log_spans
from services.ops.activity import name_phase
from services.ops.connections import database
from services.ops.faults import CommandFault, OperatorMistake
from services.ops.progress import progress
from services.ops.running_jobs import NO_TIMEOUT, queue_running_jobs
from services.ops.settings import OperationsSettings

LOCK_CLASS, LOCK = 7, 2

TAKE_LOCK = "select pg_try_advisory_lock($1, $2)"
FIND_UNDER_WAY = "select exists (select from control.restores where ended_at is null)"
BEGIN = "insert into control.restores default values"
END = "update control.restores set ended_at = now() where ended_at is null"
TABLES = (
    "event_log.streams",
    "event_log.outbox",
    "read_model.influencers",
    "read_model.jobs",
    "read_model.events",
    "read_model.media_assets",
    "read_model.quarantine",
    "render_queue.pgqueuer",
)
FIND_SERVICES = """
select distinct application_name from pg_stat_activity
where datname = current_database()
    and (application_name in ('api', 'renderer', 'projector', 'content', 'notifier')
        or application_name like 'relay-%')
order by application_name
"""
RESTORE_STREAMS = files(__package__).joinpath("restore.sql").read_text()
FIND_PARKED = """
select stream_key, count(*) as records from read_model.quarantine
where not repeated group by stream_key
order by stream_key
"""
ANALYZE = "analyze event_log.streams, " + ", ".join(t for t in TABLES if t.startswith(LIVE))


@dataclass(frozen=True, slots=True)
class Prospect:
    """What a restore would do; `resumes` when one was interrupted here. Offsets count transaction
    markers too."""

    offsets: int
    done: int
    resumes: bool


@dataclass(frozen=True, slots=True)
class Restored:
    """`parked` are streams in quarantine, which could not be restored, with their records."""

    events: int
    streams: int
    queued_jobs: int
    parked: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        return {
            "events": self.events,
            "streams": self.streams,
            "queuedJobs": self.queued_jobs,
            "quarantined": dict(self.parked),
        }


async def look(settings: OperationsSettings) -> Prospect:
    """Raises OperatorMistake unless the database is empty, or holds a restore's beginning."""
    spans = await _spans(settings)
    async with database(settings.database) as connection:
        resumes = await _require_empty_or_begun(connection)
        done = sum((await positions_of(connection, LIVE)).values())
    return Prospect(sum(span.length for span in spans.values()), done, resumes)


async def restore(settings: OperationsSettings, *, workers: int, memory: int) -> Restored:
    """`memory` is in MiB, for each process. May be called again after it was killed.

    Raises OperatorMistake, CommandFault, DependencyUnavailable.
    """
    async with _alone(settings) as connection:
        if not await _require_empty_or_begun(connection):
            await connection.execute(BEGIN)
        fail_point("restore.begin")
        await _fill(settings, connection, workers, memory)
        fail_point("restore.fill")
        return await _finish(connection)


@asynccontextmanager
async def _alone(settings: OperationsSettings) -> AsyncIterator[Connection]:
    async with database(settings.database) as connection:
        if not await connection.fetchval(TAKE_LOCK, LOCK_CLASS, LOCK):
            raise CommandFault("another restore is under way")
        yield connection


async def _require_empty_or_begun(connection: Connection) -> bool:
    """Whether a restore was interrupted here."""
    running = [row["application_name"] for row in await connection.fetch(FIND_SERVICES)]
    if running:
        raise OperatorMistake(f"stop these first, they use the database: {', '.join(running)}")
    if await connection.fetchval(FIND_UNDER_WAY):
        return True
    for table in TABLES:
        if await connection.fetchval(f"select exists (select from {table})"):
            raise OperatorMistake(f"the database is not empty: {table} has rows")
    return False


async def _fill(
    settings: OperationsSettings, connection: Connection, workers: int, memory: int
) -> None:
    """Up to where the log ends now: nobody appends meanwhile."""
    sources = Sources(settings.database, settings.kafka)
    spans = await _spans(settings)
    missing = await _missing(connection, spans)
    with progress("restoring", sum(map(_length, spans.values())), unit="offsets") as meter:
        meter.advance(sum(map(_length, spans.values())) - sum(map(_length, missing.values())))

        def heard(filled: Filled) -> None:
            meter.advance(filled.offsets)

        try:
            await fill(sources, LIVE, missing, workers=workers, memory=memory, heard=heard)
        except (WorkerFailed, PositionMoved) as fault:
            raise CommandFault(f"{fault}; call it again to go on") from fault


async def _missing(
    connection: Connection, spans: Mapping[Partition, Span]
) -> dict[Partition, Span]:
    positions = await positions_of(connection, LIVE)
    missing = {p: Span(positions.get(p, 0), span.end) for p, span in spans.items()}
    return {partition: span for partition, span in missing.items() if span.length}


async def _finish(connection: Connection) -> Restored:
    async with connection.transaction():
        name_phase("restore: streams")
        streams = await connection.fetchval(RESTORE_STREAMS, timeout=NO_TIMEOUT)
        name_phase("restore: jobs")
        queued = await queue_running_jobs(connection)
        await connection.execute(END)
        fail_point("restore.streams")
    name_phase("restore: statistics")
    await connection.execute(ANALYZE, timeout=NO_TIMEOUT)
    events = await connection.fetchval("select count(*) from read_model.events", timeout=NO_TIMEOUT)
    parked = {row["stream_key"]: row["records"] for row in await connection.fetch(FIND_PARKED)}
    return Restored(events, streams, queued, parked)


async def _spans(settings: OperationsSettings) -> dict[Partition, Span]:
    try:
        return await log_spans(settings.kafka, settings.topics.events)
    except LogIncomplete as fault:
        raise CommandFault(str(fault)) from fault


def _length(span: Span) -> int:
    return span.length
