"""How far the log is folded into the read models, in the transaction of the rows themselves."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from services.core.postgres import Connection
from services.core.readmodel.rows import columns
from services.core.readmodel.schema import LIVE, in_schema


class Partition(NamedTuple):
    topic: str
    partition: int


class Position(NamedTuple):
    """The next offset to fold; `build` tells the rows that stand beside it from others: it is
    another one after a rebuild, and after a repair."""

    next_offset: int
    build: int


class Move(NamedTuple):
    """From the position a batch was read at to the one after its last record.

    With a `build`, the position moves only beside those rows: what was folded from the states of
    read models is not for those that have taken their place.
    """

    expected: int
    next_offset: int
    build: int | None = None


class PositionMoved(Exception):
    """Another process has folded these records, or others: nothing of the batch may stay."""

    def __init__(self, partitions: Collection[Partition]) -> None:
        named = ", ".join(f"{topic}/{partition}" for topic, partition in sorted(partitions))
        super().__init__(f"the position of {named} is not the one that was read from")
        self.partitions = partitions


BEGIN = """
insert into read_model.projection_offsets (topic, partition, next_offset)
select topic, partition, 0 from unnest($1::text[], $2::int[]) as wanted(topic, partition)
order by topic, partition
on conflict do nothing
"""

# The table, and how often it was repaired, in one number.
_BUILD = "p.tableoid::bigint << 31 | p.repairs"

READ = f"""
select topic, partition, next_offset, {_BUILD} as build
from read_model.projection_offsets p
join unnest($1::text[], $2::int[]) as wanted(topic, partition) using (topic, partition)
"""

COUNT_REPAIR = """
update read_model.projection_offsets set repairs = repairs + 1
where (topic, partition) = ($1, $2)
"""

READ_ALL = "select topic, partition, next_offset from read_model.projection_offsets"

# Locked in one order first, or a zombie and its successor could deadlock.
ADVANCE = f"""
with moves as (
    select * from unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[], $5::bigint[])
        as m(topic, partition, expected, next_offset, build)
), held as materialized (
    select p.topic, p.partition, p.next_offset, {_BUILD} as build
    from read_model.projection_offsets p join moves using (topic, partition)
    order by p.topic, p.partition
    for update of p
)
update read_model.projection_offsets p
set next_offset = m.next_offset, updated_at = now()
from moves m join held h using (topic, partition)
where p.topic = m.topic and p.partition = m.partition and h.next_offset = m.expected
  and h.build = coalesce(m.build, h.build)
returning p.topic, p.partition
"""


async def read_positions(
    connection: Connection, partitions: Collection[Partition], schema: str = LIVE
) -> dict[Partition, Position]:
    """Where each of `partitions` is; at 0 if it was never read."""
    wanted = columns(partitions, 2)
    await connection.execute(in_schema(BEGIN, schema), *wanted)
    rows = await connection.fetch(in_schema(READ, schema), *wanted)
    return {
        Partition(row["topic"], row["partition"]): Position(row["next_offset"], row["build"])
        for row in rows
    }


async def positions_of(connection: Connection, schema: str) -> dict[Partition, int]:
    """The next offset of every partition that was ever read into the read models of `schema`."""
    rows = await connection.fetch(in_schema(READ_ALL, schema))
    return {Partition(row["topic"], row["partition"]): row["next_offset"] for row in rows}


async def count_repair(connection: Connection, partition: Partition) -> None:
    """Whoever has folded from states of the partition's streams reads them again."""
    await connection.execute(COUNT_REPAIR, *partition)


async def advance_positions(
    connection: Connection, moves: Mapping[Partition, Move], schema: str = LIVE
) -> None:
    """Compare-and-set; holds the rows until the transaction ends.

    Raises PositionMoved.
    """
    rows = await connection.fetch(
        in_schema(ADVANCE, schema),
        *columns(((*partition, *move) for partition, move in moves.items()), 5),
    )
    moved = {Partition(row["topic"], row["partition"]) for row in rows}
    if len(moved) < len(moves):
        raise PositionMoved(moves.keys() - moved)
