"""What operators do to the quarantine while a rebuild is at work: the new side must have it too.

Whoever frees a stream, or skips a record, holds the positions of the live side meanwhile. So what
has been freed since the comparison is known once the swap holds them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from services.core.postgres import Connection
from services.core.readmodel.positions import Partition
from services.core.readmodel.quarantine import retry
from services.core.readmodel.records import StreamId
from services.core.readmodel.rows import columns
from services.core.readmodel.schema import LIVE

FIND_FREED = """
select topic, stream_key from {schema}.quarantine where not repeated
except
select topic, stream_key from {live}.quarantine where not repeated
"""

# Rows that the projector has added since are behind the positions of then.
READ_ASIDE = """
select coalesce(md5(string_agg(
    concat_ws('/', q.topic, q.partition, q.record_offset, q.repeated), ','
    order by q.topic, q.partition, q.record_offset)), '')
from {live}.quarantine q
join unnest($1::text[], $2::int[], $3::bigint[]) as seen(topic, partition, next_offset)
    using (topic, partition)
where q.record_offset < seen.next_offset
"""
READ_SKIPS = """
select coalesce(md5(string_agg(concat_ws('/', topic, partition, record_offset, sequence_after), ','
    order by topic, partition, record_offset)), '')
from control.skipped_records
"""

# Of what both sides have read since then: in quarantine on the new one only.
IS_FREED = """
select exists (
    select from {schema}.quarantine n
    join {live}.projection_offsets p using (topic, partition)
    left join unnest($1::text[], $2::int[], $3::bigint[]) as seen(topic, partition, next_offset)
        using (topic, partition)
    where n.record_offset >= coalesce(seen.next_offset, 0) and n.record_offset < p.next_offset
      and not exists (
        select from {live}.quarantine l
        where (l.topic, l.partition, l.record_offset) = (n.topic, n.partition, n.record_offset)
    )
)
"""


@dataclass(frozen=True, slots=True)
class Aside:
    """What was set aside on the live side, up to `positions`."""

    positions: Mapping[Partition, int]
    quarantine: str
    skips: str


async def look_aside(connection: Connection, positions: Mapping[Partition, int]) -> Aside:
    """In the transaction in which `positions` were read."""
    seen = _columns(positions)
    return Aside(
        positions,
        await connection.fetchval(READ_ASIDE.format(live=LIVE), *seen),
        await connection.fetchval(READ_SKIPS),
    )


async def is_as_seen(connection: Connection, schema: str, seen: Aside) -> bool:
    """Whether nobody has freed or skipped anything since; the live positions are held."""
    if await look_aside(connection, seen.positions) != seen:
        return False
    is_freed = IS_FREED.format(live=LIVE, schema=schema)
    return not await connection.fetchval(is_freed, *_columns(seen.positions))


async def free_what_is_free(connection: Connection, schema: str) -> None:
    """Applies again, in `schema`, what is in quarantine there and not on the live side."""
    rows = await connection.fetch(FIND_FREED.format(live=LIVE, schema=schema))
    for row in rows:
        async with connection.transaction():
            await retry(connection, StreamId(row["topic"], row["stream_key"]), schema)


def _columns(positions: Mapping[Partition, int]) -> list[list[object]]:
    return columns(((*partition, offset) for partition, offset in positions.items()), 3)
