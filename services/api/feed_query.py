"""The organization's events across all partitions of the log, from any position.

What the projection could not apply is on the log all the same, so the feed has it too, in its
place, from the quarantine or from among what was skipped: a reader would otherwise be past that
place when the record is applied at last.

Partitions are merged by time, each kept in the order of its offsets: a record counts as late as
the latest one before it. Of each partition at most so many records are looked at; where there
would be more, the merge ends, so the work has a bound whatever the filter leaves out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import asyncpg

from schemas.events import EVENT_TYPES
from services.api.feed_cursor import FeedPosition, Seen, mark_of
from services.core.postgres import Connection
from services.core.readmodel.positions import Partition
from services.core.readmodel.rows import columns

TYPES = tuple(sorted({name for name, _ in EVENT_TYPES}))
LOOKED_AT = 300
"""Records of each partition, when a filter may leave most of them out."""

_ASIDE = """
aside as materialized (
    select topic, partition, record_offset, moment, headers, value,
        coalesce((select header ->> 1 from json_array_elements(headers) header
                  where header ->> 0 = 'ce_id' limit 1), '') as event_id
    from (
        select topic, partition, record_offset, quarantined_at as moment, headers, value
        from read_model.quarantine
        where split_part(stream_key, '/', 1) = $1::uuid::text
        union all
        select topic, partition, record_offset, skipped_at, headers, value
        from control.skipped_records
        where split_part(stream_key, '/', 1) = $1::uuid::text
    ) as kept
)
"""
_WANTED = "(($6::text[] is null or type = any($6)) and ($7::uuid is null or project_id = $7))"

READ = f"""
with {_ASIDE}, place as materialized (
    select p.topic, p.partition, coalesce(seen.record_offset, -1) as seen
    from read_model.projection_offsets p
    left join unnest($2::text[], $3::int[], $4::bigint[]) as seen(topic, partition, record_offset)
        using (topic, partition)
), found as (
    select p.topic, p.partition, e.record_offset, e.moment, e.is_wanted
    from place p cross join lateral (
        select record_offset, occurred_at as moment, {_WANTED} as is_wanted
        from read_model.events
        where organization_id = $1 and topic = p.topic and partition = p.partition
          and record_offset > p.seen
        order by record_offset
        limit $8
    ) as e
    union all
    select topic, partition, record_offset, moment, true
    from place join aside using (topic, partition)
    where record_offset > seen
), looked_at as materialized (
    select * from (
        select topic, partition, record_offset, is_wanted, row_number() over along as number,
            max(moment) over along as moment
        from found
        window along as (partition by topic, partition order by record_offset)
    ) as numbered
    where number <= $8
), merged as (
    select topic, partition, record_offset, count(*) filter (where is_wanted)
        over (order by moment, topic, partition, record_offset) as wanted
    from looked_at
    where moment <= (select coalesce(min(moment), 'infinity') from looked_at where number = $8)
), taken as materialized (
    select topic, partition, min(record_offset) as first, max(record_offset) as last,
        count(*) as records
    from merged
    where wanted <= $5
    group by topic, partition
), remainder as (
    select (select sum(records) from taken) < (select count(*) from looked_at)
        or exists (select from looked_at where number = $8) as has_more
)
select t.topic, t.partition, t.last,
    coalesce(
        (select event_id from read_model.events e
         where e.organization_id = $1 and e.topic = t.topic and e.partition = t.partition
           and e.record_offset = t.last),
        (select event_id from aside a
         where a.topic = t.topic and a.partition = t.partition and a.record_offset = t.last
         limit 1)
    ) as last_id,
    has_more, e.*
from taken t
cross join remainder
left join lateral (
    select record_offset, occurred_at as moment, event_id, stream_id, sequence, type, version,
        project_id, occurred_at, source, correlation_id, causation_id, traceparent, data,
        null::json as headers, null::bytea as value
    from read_model.events
    where organization_id = $1 and topic = t.topic and partition = t.partition
      and record_offset between t.first and t.last and {_WANTED}
    union all
    select record_offset, moment, event_id, null, null, null, null,
        null, null, null, null, null, null, null, headers, value
    from aside
    where topic = t.topic and partition = t.partition and record_offset between t.first and t.last
) as e on true
order by t.topic, t.partition, e.record_offset
"""

FIND_SEEN = f"""
with {_ASIDE}
select seen.topic, seen.partition, seen.record_offset,
    coalesce(p.next_offset, 0) > seen.record_offset as is_folded,
    coalesce(
        (select event_id from read_model.events e
         where e.organization_id = $1 and e.topic = seen.topic and e.partition = seen.partition
           and e.record_offset = seen.record_offset),
        (select event_id from aside a
         where a.topic = seen.topic and a.partition = seen.partition
           and a.record_offset = seen.record_offset
         limit 1)
    ) as event_id
from unnest($2::text[], $3::int[], $4::bigint[]) as seen(topic, partition, record_offset)
left join read_model.projection_offsets p using (topic, partition)
"""

FIND_END = f"""
with {_ASIDE}
select p.topic, p.partition, latest.record_offset, latest.event_id
from read_model.projection_offsets p
cross join lateral (
    (select record_offset, event_id from read_model.events
     where organization_id = $1 and topic = p.topic and partition = p.partition
     order by record_offset desc
     limit 1)
    union all
    select record_offset, event_id from aside
    where aside.topic = p.topic and aside.partition = p.partition
    order by record_offset desc
    limit 1
) as latest
"""


@dataclass(frozen=True, slots=True)
class FeedFilter:
    """None: any."""

    types: tuple[str, ...] | None = None
    project_id: str | None = None

    @property
    def is_open(self) -> bool:
        return self == FeedFilter()


class FeedRows(NamedTuple):
    """Up to as many rows as asked for, in order, and the position behind all that was looked at.

    A row has the columns of an event, or `headers` and `value` as the quarantine has them.
    """

    rows: Sequence[asyncpg.Record]
    position: FeedPosition
    has_more: bool


async def read_feed(
    connection: Connection,
    organization_id: str,
    position: FeedPosition,
    wanted: FeedFilter,
    limit: int,
) -> FeedRows:
    """What follows `position`. `wanted` is not asked of rows with `headers`."""
    found = await connection.fetch(
        READ,
        organization_id,
        *_columns(position),
        limit,
        wanted.types,
        wanted.project_id,
        limit + 1 if wanted.is_open else LOOKED_AT,
    )
    if not found:
        return FeedRows((), position, has_more=False)
    reached = {
        Partition(row["topic"], row["partition"]): Seen(row["last"], mark_of(row["last_id"]))
        for row in found
    }
    rows = [row for row in found if row["record_offset"] is not None]
    return FeedRows(_merged(rows), {**position, **reached}, has_more=found[0]["has_more"])


async def check(
    connection: Connection, organization_id: str, position: FeedPosition
) -> Literal["fits", "ahead", "foreign"]:
    """Whether `position` is one of this log, as far as the read models are.

    It is `ahead` while they have to reach it yet, and `foreign` when another event stands where
    it says, or none at several places and at most of them: a record that was on the log twice may
    go when it leaves the quarantine.
    """
    rows = await connection.fetch(FIND_SEEN, organization_id, *_columns(position))
    marks = {
        Partition(row["topic"], row["partition"]): mark_of(row["event_id"])
        for row in rows
        if row["event_id"] is not None
    }
    if any(position[place].mark != mark for place, mark in marks.items()):
        return "foreign"
    if not all(row["is_folded"] for row in rows):
        return "ahead"
    missing = len(position) - len(marks)
    return "fits" if missing <= 1 or missing <= len(marks) else "foreign"


async def find_end(connection: Connection, organization_id: str) -> FeedPosition:
    """The position behind all there is."""
    return {
        Partition(row["topic"], row["partition"]): Seen(
            row["record_offset"], mark_of(row["event_id"])
        )
        for row in await connection.fetch(FIND_END, organization_id)
    }


def _merged(rows: Sequence[asyncpg.Record]) -> list[asyncpg.Record]:
    """`rows`, which are in order within each partition, in the order of the merge."""
    keys = []
    place, latest = None, None
    for row in rows:
        here = row["topic"], row["partition"]
        latest = max(latest, row["moment"]) if latest and place == here else row["moment"]
        place = here
        keys.append((latest, *here, row["record_offset"]))
    return [rows[n] for n in sorted(range(len(rows)), key=keys.__getitem__)]


def _columns(position: FeedPosition) -> list[list[object]]:
    return columns(((*place, seen.offset) for place, seen in position.items()), 3)
