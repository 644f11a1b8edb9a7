"""The live read models against those that were built anew, row by row, while the live ones move.

Rows of one version must be equal byte for byte. A row of another version is unsettled: the append
writes live rows ahead of the log, and the projector may be behind. It is looked at again, in a new
snapshot, once the new side has read all that was on the log after the last one; until the versions
meet, or the log or the live side's own position prove that they never will.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from services.core.postgres import Connection
from services.core.readmodel.positions import Partition, positions_of
from services.core.readmodel.rebuild.aside import Aside, look_aside
from services.core.readmodel.rebuild.models import MODELS, VERSIONED, Model
from services.core.readmodel.rebuild.scratch import SCRATCH
from services.core.readmodel.schema import LIVE

# `l` is the live row, `n` the new one.
COMPARE = """
with met as materialized (
    select {key} as key, {live} as live_sequence, {next} as next_sequence,
        {held} as waiting, {fields} as fields
    from {live_schema}.{model} l full join {schema}.{model} n on {same_key}
    where {live} <> {next} or not l *= n
), different as (
    insert into {scratch}.differences (model, key, what, fields)
    select '{model}', key, 'differs', fields from met
    where live_sequence = next_sequence and fields <> '{{}}'
)
insert into {scratch}.unsettled (model, key, live_sequence, next_sequence, waiting)
select '{model}', key, live_sequence, next_sequence, waiting from met
where live_sequence <> next_sequence
"""

# $1: whether the live positions have passed where the new ones were when last looked.
COMPARE_AGAIN = """
with again as (
    delete from {scratch}.unsettled where model = '{model}' returning *
), met as materialized (
    select u.key, u.live_sequence as live_before, u.next_sequence as next_before,
        u.waiting as waited, {live} as live_sequence, {next} as next_sequence,
        {held} as waiting, {fields} as fields
    from again u
    left join {live_schema}.{model} l on {is_live}
    left join {schema}.{model} n on {is_next}
), judged as materialized (
    select *, case
        when live_sequence = next_sequence then case when fields <> '{{}}' then 'differs' end
        when live_before > next_before and not waited and next_sequence < live_before
            then case when next_sequence = 0 then 'not on the log' else 'ahead of the log' end
        when next_before > live_before and $1 and live_sequence < next_before
            then case when live_sequence = 0 then 'missing' else 'behind' end
    end as what
    from met
), different as (
    insert into {scratch}.differences (model, key, what, fields)
    select '{model}', key, what, case what when 'differs' then fields else '{{sequence}}' end
    from judged where what is not null
)
insert into {scratch}.unsettled (model, key, live_sequence, next_sequence, waiting)
select '{model}', key, live_sequence, next_sequence, waiting from judged
where what is null and live_sequence <> next_sequence
"""

# Rows that only the projector writes: what a side's position has not reached it need not have.
COMPARE_BY_POSITION = """
insert into {scratch}.differences (model, key, what, fields)
select '{model}', {key},
    case when {no_live} then 'missing' when {no_next} then 'not on the log' else 'differs' end,
    case when {no_live} or {no_next} then '{{}}' else {fields} end
from {live_schema}.{model} l full join {schema}.{model} n on {same_key}
left join {live_schema}.projection_offsets lp on lp.topic = n.topic and lp.partition = n.partition
left join {schema}.projection_offsets np on np.topic = l.topic and np.partition = l.partition
where case
    when {no_live} then n.record_offset < coalesce(lp.next_offset, 0)
    when {no_next} then np.next_offset is null or l.record_offset < np.next_offset
    else not l *= n and {fields} <> '{{}}'
end
"""

COLUMNS = """
select attname from pg_attribute
where attrelid = $1::regclass and attnum > 0 and not attisdropped order by attnum
"""

BOTH_ROWS = """
select (select row_to_json(l)::text from {live_schema}.{model} l where {is_live}) as live,
       (select row_to_json(n)::text from {schema}.{model} n where {is_next}) as next
"""

# Why a live row may be ahead of the log for long.
HELD = """(exists (select from event_log.outbox o where o.key = {stream})
        or exists (select from {schema}.quarantine q
                   where q.stream_key = {stream} and not q.repeated))"""

Positions = Mapping[Partition, int]


class FieldDifference(NamedTuple):
    name: str
    live: Any
    log: Any


@dataclass(frozen=True, slots=True)
class Difference:
    """`what`: `differs`, `missing`, `behind`, `not on the log`, `ahead of the log`."""

    model: str
    key: str
    what: str
    fields: Sequence[FieldDifference] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "key": self.key,
            "what": self.what,
            "fields": [{"name": f.name, "live": f.live, "log": f.log} for f in self.fields],
        }


@dataclass(slots=True)
class Comparison:
    """`waiting` rows have events in the outbox or in quarantine, `lagging` ones on the log, where
    the projector has not been yet; `unsettled` ones were never seen at rest."""

    differences: int = 0
    listed: list[Difference] = field(default_factory=list)
    waiting: int = 0
    lagging: int = 0
    unsettled: int = 0

    @property
    def is_equal(self) -> bool:
        return self.differences == 0


class Comparing:
    """Compares `schema` with the live one; `schema` stands still between `look` and `look`.

    `limit` differences are told in full, the others are counted.
    """

    def __init__(self, connection: Connection, schema: str, limit: int) -> None:
        self._connection = connection
        self._schema = schema
        self._limit = limit
        self._fields: dict[str, str] = {}
        self._next_before: Positions = {}

    async def look(self) -> Aside:
        """Compares everything; gives what was set aside on the live side then."""
        await self._connection.execute(
            f"truncate {SCRATCH}.unsettled; truncate {SCRATCH}.differences"
        )
        for model in MODELS.values():
            self._fields[model.name] = await self._compared_fields(model)
        async with self._connection.transaction(isolation="repeatable_read"):
            live, self._next_before = await self._positions()
            aside = await look_aside(self._connection, live)
            for model in MODELS.values():
                statement = COMPARE if model.is_versioned else COMPARE_BY_POSITION
                await self._connection.execute(self._statement(statement, model))
        return aside

    async def look_again(self) -> None:
        """Looks at what is unsettled. Meanwhile the new side has read up to a high watermark that
        was taken after the last look."""
        async with self._connection.transaction(isolation="repeatable_read"):
            live, next_now = await self._positions()
            passed = all(live.get(p, 0) >= offset for p, offset in self._next_before.items())
            for model in VERSIONED:
                await self._connection.execute(self._statement(COMPARE_AGAIN, model), passed)
        self._next_before = next_now

    async def unsettled(self) -> dict[tuple[str, str], int]:
        """How many rows are, by what may explain it (`waiting`, `lagging`, `unsettled`) and by a
        sum of what was seen: another one means that something moves."""
        rows = await self._connection.fetch(f"""
            select case when waiting then 'waiting'
                        when next_sequence > live_sequence then 'lagging'
                        else 'unsettled' end as why,
                count(*) as rows, sum(live_sequence + next_sequence) as seen
            from {SCRATCH}.unsettled group by 1""")
        return {(row["why"], str(row["seen"])): row["rows"] for row in rows}

    async def result(self) -> Comparison:
        comparison = Comparison()
        for (why, _), count in (await self.unsettled()).items():
            setattr(comparison, why, count)
        found = await self._connection.fetchval(f"select count(*) from {SCRATCH}.differences")
        comparison.differences = found + comparison.unsettled
        rows = await self._connection.fetch(f"""
            (select model, key, what, fields from {SCRATCH}.differences order by model, key
             limit {self._limit})
            union all
            (select model, key, 'unsettled', '{{sequence}}' from {SCRATCH}.unsettled
             where not waiting and next_sequence < live_sequence order by model, key
             limit {self._limit})""")
        comparison.listed = [await self._in_full(*row) for row in rows]
        return comparison

    async def _positions(self) -> tuple[Positions, Positions]:
        live = await positions_of(self._connection, LIVE)
        return live, await positions_of(self._connection, self._schema)

    async def _compared_fields(self, model: Model) -> str:
        """SQL: the names of the columns that differ."""
        rows = await self._connection.fetch(COLUMNS, f"{LIVE}.{model.name}")
        names = [row["attname"] for row in rows if row["attname"] not in model.ignored]
        cases = (
            f"case when l.{name}::text is distinct from n.{name}::text then '{name}' end"
            for name in names
        )
        return f"array_remove(array[{', '.join(cases)}], null)"

    def _statement(self, template: str, model: Model) -> str:
        return template.format(
            model=model.name,
            live_schema=LIVE,
            schema=self._schema,
            scratch=SCRATCH,
            key=model.key_of("l", "n"),
            same_key=model.same_key("l", "n"),
            is_live=model.has_key("l", "u.key"),
            is_next=model.has_key("n", "u.key"),
            no_live=model.is_absent("l"),
            no_next=model.is_absent("n"),
            fields=self._fields[model.name],
            **self._versions(model),
        )

    def _versions(self, model: Model) -> dict[str, str]:
        if not model.is_versioned:
            return {}
        return {
            "live": f"({model.version('l')})",
            "next": f"({model.version('n')})",
            "held": HELD.format(schema=self._schema, stream=model.stream_key("l", "n")),
        }

    async def _in_full(
        self, name: str, key: Sequence[str], what: str, fields: Sequence[str]
    ) -> Difference:
        model = MODELS[name]
        row = await self._connection.fetchrow(
            BOTH_ROWS.format(
                live_schema=LIVE,
                schema=self._schema,
                model=name,
                is_live=model.has_key("l", "$1::text[]"),
                is_next=model.has_key("n", "$1::text[]"),
            ),
            key,
        )
        assert row is not None
        live, log = (orjson.loads(row[side] or "{}") for side in ("live", "next"))
        named = tuple(
            found
            for column in fields
            for found in field_differences(column, live.get(column), log.get(column))
        )
        return Difference(name, "/".join(key), what, named)


def field_differences(name: str, live: Any, log: Any) -> list[FieldDifference]:
    """The fields in which two JSON values differ, by their path."""
    if live == log:
        return []
    if not (isinstance(live, dict) and isinstance(log, dict)):
        return [FieldDifference(name, live, log)]
    return [
        found
        for part in sorted(live.keys() | log.keys())
        for found in field_differences(f"{name}.{part}", live.get(part), log.get(part))
    ]
