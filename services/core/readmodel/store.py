"""The read models in Postgres: what a batch of records needs of them, and what it writes.

Events and media assets of a large batch are copied, which costs half, here and in Postgres; COPY
can't skip what is there already, so where it meets such a row, the batch is inserted instead.

Nothing is locked while a batch is folded: states are read in one statement (one snapshot, so an
influencer and its job fit together), and every write is conditional on the row's sequence, so a
row that an append has moved meanwhile stays as it is. Rows of influencers are written before rows
of jobs, each in the order of its key, as the append does: otherwise the two could deadlock.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from importlib.resources import files
from typing import Any, NamedTuple

import asyncpg
import structlog
from pydantic import ValidationError

from schemas.ids import Prefix
from services.core.domain.content import ContentStream
from services.core.domain.state import Influencer, InfluencerStream, Job
from services.core.postgres import Connection
from services.core.readmodel.apply import Changes, JobStream
from services.core.readmodel.records import StreamId
from services.core.readmodel.rows import (
    EventRow,
    MediaAssetRow,
    columns,
    influencer_row,
    job_row,
)
from services.core.readmodel.schema import LIVE, in_schema

log = structlog.get_logger(__name__)

FIND_STATES = """
select i.organization_id, i.influencer_id, i.sequence, i.state, j.state as job
from unnest($1::uuid[], $2::text[]) as wanted(organization_id, influencer_id)
join read_model.influencers i using (organization_id, influencer_id)
left join read_model.jobs j on j.job_id = i.state ->> 'jobId'
"""

FIND_CONTENT_STATES = """
select j.organization_id, j.stream_id, j.state
from unnest($1::uuid[], $2::text[]) as wanted(organization_id, stream_id)
join read_model.jobs j using (organization_id, stream_id)
where j.kind = 'content_generate'
"""

FIND_QUARANTINED = """
select distinct topic, stream_key
from read_model.quarantine
join unnest($1::text[], $2::text[]) as wanted(topic, stream_key) using (topic, stream_key)
where not repeated
"""

HAS_QUARANTINED = "select exists (select from read_model.quarantine where not repeated)"

WRITE = files(__package__).joinpath("write.sql").read_text()

COPIED_FROM = 200
"""Events from which on COPY is worth its two round trips."""

# What Postgres says to data it can't hold, as opposed to being away or busy.
REJECTIONS = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)


async def find_states(
    connection: Connection, keys: Iterable[tuple[str, str]], schema: str = LIVE
) -> dict[str, JobStream]:
    """The states of the streams (organization, stream) that have rows, by key."""
    wanted = set(keys)
    contents = {key for key in wanted if key[1].startswith(Prefix.CONTENT)}
    states = await _find_influencers(connection, wanted - contents, schema)
    return states | await _find_contents(connection, contents, schema) if contents else states


async def _find_influencers(
    connection: Connection, keys: Iterable[tuple[str, str]], schema: str
) -> dict[str, JobStream]:
    rows = await connection.fetch(in_schema(FIND_STATES, schema), *columns(keys, 2))
    return _readable(rows, "influencer_id", _influencer_stream)


async def _find_contents(
    connection: Connection, keys: Iterable[tuple[str, str]], schema: str
) -> dict[str, JobStream]:
    rows = await connection.fetch(in_schema(FIND_CONTENT_STATES, schema), *columns(keys, 2))
    return _readable(rows, "stream_id", _content_stream)


def _readable(
    rows: Iterable[asyncpg.Record], id_column: str, read: Callable[[asyncpg.Record], JobStream]
) -> dict[str, JobStream]:
    """A row that can't be read is as good as none: its stream's next event goes to quarantine."""
    states = {}
    for row in rows:
        key = f"{row['organization_id']}/{row[id_column]}"
        try:
            states[key] = read(row)
        except ValidationError as fault:
            log.error("read_model_row_unreadable", stream=key, fault=str(fault))
    return states


async def find_quarantined(
    connection: Connection, streams: Collection[StreamId], schema: str = LIVE
) -> frozenset[StreamId]:
    """Which of `streams` are in quarantine; mostly nothing is."""
    if not await connection.fetchval(in_schema(HAS_QUARANTINED, schema)):
        return frozenset()
    rows = await connection.fetch(in_schema(FIND_QUARANTINED, schema), *columns(streams, 2))
    return frozenset(StreamId(row["topic"], row["stream_key"]) for row in rows)


class There(NamedTuple):
    """How many rows of what was inserted were there already."""

    events: int
    assets: int


class Rows(NamedTuple):
    """What `write` takes of changes: rows that may be copied, uploads, columns of the others."""

    events: Sequence[EventRow]
    assets: Sequence[MediaAssetRow]
    uploads: Sequence[MediaAssetRow]
    others: list[list[Any]]

    @property
    def may_be_copied(self) -> bool:
        return len(self.events) >= COPIED_FROM


def written_rows(changes: Changes) -> Rows:
    """Raises ValueError for what can't be spelled as JSON."""
    streams = changes.streams.values()
    influencers = [
        influencer_row(s.influencer, s.sequence)
        for s in streams
        if isinstance(s, InfluencerStream) and s.influencer
    ]
    return Rows(
        changes.events,
        changes.assets,
        changes.uploads,
        [
            *columns(changes.quarantine, 8),
            *columns(influencers, 7),
            *columns(map(job_row, changes.jobs.values()), 10),
        ],
    )


async def write(connection: Connection, rows: Rows, *, copied: bool, schema: str = LIVE) -> There:
    """What was there already stays as it is.

    Raises one of REJECTIONS for data that Postgres can't hold.

    When `copied`, a unique violation too for what is there already.
    """
    if copied:
        await _copy(connection, schema, "events", EventRow, rows.events)
        await _copy(connection, schema, "media_assets", MediaAssetRow, rows.assets)
    events, assets = ((), ()) if copied else (rows.events, rows.assets)
    # Uploads are mostly there already, so they are never copied.
    assets = (*assets, *rows.uploads)
    inserted = await connection.fetchrow(
        in_schema(WRITE, schema), *columns(events, 16), *columns(assets, 6), *rows.others
    )
    assert inserted is not None
    return There(len(events) - inserted["events"], len(assets) - inserted["assets"])


async def _copy(
    connection: Connection,
    schema: str,
    table: str,
    row: type[EventRow | MediaAssetRow],
    rows: Sequence[EventRow | MediaAssetRow],
) -> None:
    await connection.copy_records_to_table(
        table, schema_name=schema, columns=row._fields, records=rows
    )


def _content_stream(row: asyncpg.Record) -> ContentStream:
    job = Job.model_validate_json(row["state"])
    return ContentStream(sequence=job.sequence, job=job)


def _influencer_stream(row: asyncpg.Record) -> InfluencerStream:
    return InfluencerStream.model_construct(
        sequence=row["sequence"],
        influencer=Influencer.model_validate_json(row["state"]),
        job=Job.model_validate_json(row["job"]) if row["job"] else None,
    )
