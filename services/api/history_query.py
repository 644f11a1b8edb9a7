"""A stream's events, by the primary key of their table."""

import asyncpg

from services.api.pagination import PageRequest
from services.core.postgres import Connection

LIST_EVENTS = """
select sequence, event_id, type, version, occurred_at, data from read_model.events
where organization_id = $1 and stream_id = $2 and sequence > $3
order by sequence
limit $4
"""

# Where the stream went on after records that an operator has skipped: they have no event here.
FIND_SKIPS = """
select distinct sequence_after from control.skipped_records
where split_part(stream_key, '/', 1) = $1::uuid::text
  and stream_key = $1::uuid::text || '/' || $2::text and sequence_after > $3
order by sequence_after
"""

FIND_SEQUENCE = """
select sequence from read_model.events
where organization_id = $1 and stream_id = $2 and event_id = $3
"""

FIND_SNAPSHOT = """
select j.state, last.sequence, last.event_id,
    exists (
        select from read_model.events e
        where e.organization_id = j.organization_id and e.stream_id = j.stream_id
          and e.sequence >= j.sequence
        union all
        select from control.skipped_records s
        where split_part(s.stream_key, '/', 1) = j.organization_id::text
          and s.stream_key = j.organization_id::text || '/' || j.stream_id
          and s.sequence_after >= j.sequence
    ) as is_told
from read_model.jobs j
left join lateral (
    select e.sequence, e.event_id from read_model.events e
    where e.organization_id = j.organization_id and e.stream_id = j.stream_id
      and e.sequence <= j.sequence
    order by e.sequence desc
    limit 1
) as last on true
where j.organization_id = $1 and j.job_id = $2
"""


async def list_events(
    connection: Connection, organization_id: str, stream_id: str, page: PageRequest
) -> list[asyncpg.Record]:
    """Up to one row more than the page holds, oldest first."""
    after = int(page.after.identifier) if page.after else 0
    return await list_events_after(connection, organization_id, stream_id, after, page.limit + 1)


async def list_events_after(
    connection: Connection, organization_id: str, stream_id: str, after: int, limit: int
) -> list[asyncpg.Record]:
    """Up to `limit` events behind the sequence `after`, oldest first."""
    return await connection.fetch(LIST_EVENTS, organization_id, stream_id, after, limit)


async def find_skips(
    connection: Connection, organization_id: str, stream_id: str, after: int
) -> list[int]:
    """The sequences behind `after` that the stream was set to when a record was skipped."""
    rows = await connection.fetch(FIND_SKIPS, organization_id, stream_id, after)
    return [row["sequence_after"] for row in rows]


async def find_sequence(
    connection: Connection, organization_id: str, stream_id: str, event_id: str
) -> int | None:
    """Where an event of the stream is in its history; None for one that isn't."""
    sequence = await connection.fetchval(FIND_SEQUENCE, organization_id, stream_id, event_id)
    return None if sequence is None else int(sequence)


async def find_snapshot(
    connection: Connection, organization_id: str, job_id: str
) -> asyncpg.Record | None:
    """A job's state, and `sequence` and `event_id` of the last event in it that the history has.

    `is_told`: the history has come as far as the job, or was led past it by a skip.
    """
    return await connection.fetchrow(FIND_SNAPSHOT, organization_id, job_id)
