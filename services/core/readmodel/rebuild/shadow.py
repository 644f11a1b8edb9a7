"""A second set of tables like the live ones, in a schema of its own: made from their definition in
the catalog, so that it never falls behind the migrations.

It is filled without the indexes that only readers need; those are built at the end.
"""

import hashlib
from collections.abc import Iterable
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

import asyncpg

from services.core.postgres import Connection
from services.core.readmodel.schema import LIVE

FOLD_NEEDS = ("jobs_of_content", "quarantine_by_stream")
"""Indexes by which the fold finds states, beside the keys of all tables but `events`."""

CODE_OF_THE_FOLD = (
    ("schemas", ("events.py", "images.py", "jobs.py", "profile.py", "upcasters.py")),
    ("services.core.domain", None),
    ("services.core.readmodel", None),
)
"""Packages, and the modules of them if not all, that a half-built schema depends on."""

TABLES = """
select c.oid, c.relname as name, c.relowner::regrole::text as owner, c.reloptions as options,
    c.relacl::text as privileges, obj_description(c.oid, 'pg_class') as comment,
    c.relrowsecurity as is_walled
from pg_class c
where c.relnamespace = $1::text::regnamespace and c.relkind = 'r'
order by c.relname
"""

# What a rebuild would leave behind, or lose.
UNKNOWN = """
select format('%s %s', pg_describe_object('pg_class'::regclass, c.oid, 0), c.relkind) as thing
from pg_class c where c.relnamespace = $1::text::regnamespace and c.relkind not in ('r', 'i')
union all
select pg_describe_object('pg_proc'::regclass, p.oid, 0) from pg_proc p
where p.pronamespace = $1::text::regnamespace
union all
select pg_describe_object('pg_constraint'::regclass, k.oid, 0) from pg_constraint k
join pg_class c on c.oid in (k.conrelid, k.confrelid)
where c.relnamespace = $1::text::regnamespace and k.contype = 'f'
union all
select pg_describe_object('pg_trigger'::regclass, t.oid, 0) from pg_trigger t
join pg_class c on c.oid = t.tgrelid
where c.relnamespace = $1::text::regnamespace and not t.tgisinternal
  and t.tgname <> 'rebuild_touched'
union all
select pg_describe_object('pg_rewrite'::regclass, d.objid, 0) from pg_depend d
join pg_class c on d.refclassid = 'pg_class'::regclass and d.refobjid = c.oid
where c.relnamespace = $1::text::regnamespace and d.classid = 'pg_rewrite'::regclass
union all
select format('forced row security of %s', c.relname) from pg_class c
where c.relnamespace = $1::text::regnamespace and c.relforcerowsecurity
"""

# The constraint's own definition where an index is one's; `needed` to fill the table.
INDEXES = """
select i.indexrelid::regclass::text as full_name, x.relname as name, t.relname as table,
    pg_get_indexdef(i.indexrelid) as definition, k.conname as constraint,
    pg_get_constraintdef(k.oid) as constraint_definition,
    (i.indisunique and t.relname <> 'events') or x.relname = any($2::text[]) as needed
from pg_index i
join pg_class x on x.oid = i.indexrelid
join pg_class t on t.oid = i.indrelid
left join pg_constraint k on k.conindid = i.indexrelid and k.contype in ('p', 'u')
where t.relnamespace = $1::text::regnamespace
order by not i.indisprimary, x.relname
"""

POLICIES = """
select format('create policy %I on %I.%I as %s for %s to %s', p.policyname, $2::text, p.tablename,
    p.permissive, p.cmd,
    (select string_agg(case role when 'public' then 'public' else quote_ident(role) end, ', ')
     from unnest(p.roles) as role))
    || coalesce(' using (' || p.qual || ')', '')
    || coalesce(' with check (' || p.with_check || ')', '')
from pg_policies p where p.schemaname = $1 and p.tablename = $3
"""

# Everything that must be the same in two schemas, as text; their names are left out of it.
DESCRIPTION = """
select replace(thing, $1::text || '.', '') as thing from (
    select format('table %s %s %s %s %s %s %s %s', c.relname, c.relowner::regrole,
        c.relpersistence, c.reloptions, c.relacl, obj_description(c.oid, 'pg_class'),
        c.relrowsecurity, c.relforcerowsecurity) as thing
    from pg_class c where c.relnamespace = $1::text::regnamespace and c.relkind = 'r'
    union all
    select format('column %s.%s %s %s %s %s %s %s %s', c.relname,
        row_number() over (partition by c.oid order by a.attnum),
        a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attstorage,
        a.attcollation::regcollation, pg_get_expr(d.adbin, d.adrelid),
        col_description(c.oid, a.attnum))
    from pg_class c
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
    where c.relnamespace = $1::text::regnamespace and c.relkind = 'r'
    union all
    select format('index %s %s', pg_get_indexdef(i.indexrelid),
        obj_description(i.indexrelid, 'pg_class'))
    from pg_index i join pg_class c on c.oid = i.indrelid
    where c.relnamespace = $1::text::regnamespace
    union all
    select format('constraint %s %s %s', c.relname, k.conname, pg_get_constraintdef(k.oid))
    from pg_constraint k join pg_class c on c.oid = k.conrelid
    where c.relnamespace = $1::text::regnamespace
    union all
    select format('policy %s %s %s %s %s %s %s', tablename, policyname, permissive, roles, cmd,
        qual, with_check)
    from pg_policies where schemaname = $1
    union all
    select format('schema %s %s', nspowner::regrole, nspacl) from pg_namespace
    where nspname = $1::text
) as things
order by thing
"""

DESCRIBE_SKIPS = """
select coalesce(string_agg(
    format('%s/%s/%s to %s', topic, partition, record_offset, sequence_after), ', '
    order by topic, partition, record_offset), '')
from control.skipped_records
"""

GRANTS = """
select format('grant %s on %s to %s %s', privilege_type,
        case when $1 = 'schema' then format('schema %I', $3::text)
             else format('%I.%I', $3::text, $4::text) end,
        case when grantee = 0 then 'public' else grantee::regrole::text end,
        case when is_grantable then 'with grant option' else '' end)
from aclexplode($2::text::aclitem[])
"""


DROP_REPEATED = """
delete from {schema}.events where ctid in (
    select ctid from (
        select ctid, row_number() over (
            partition by organization_id, stream_id, sequence order by partition, record_offset
        ) as occurrence
        from {schema}.events
    ) as ordered where occurrence > 1
)
"""


class SchemaNotCloneable(Exception):
    """The live schema holds something that a rebuild can't carry along."""

    def __init__(self, things: Iterable[str]) -> None:
        super().__init__(f"a rebuild can't carry along: {', '.join(things)}")


class Index(NamedTuple):
    name: str
    table: str
    statement: str


async def exists(connection: Connection, schema: str) -> bool:
    return bool(await connection.fetchval("select to_regnamespace($1) is not null", schema))


async def drop(connection: Connection, schema: str) -> None:
    await connection.execute(f"drop schema if exists {schema} cascade")


async def create(connection: Connection, schema: str) -> None:
    """An empty copy of the live tables, with what the fold needs of their indexes.

    Raises SchemaNotCloneable.
    """
    unknown = [row["thing"] for row in await connection.fetch(UNKNOWN, LIVE)]
    if unknown:
        raise SchemaNotCloneable(unknown)
    async with connection.transaction():
        await _create_schema(connection, schema)
        for table in await connection.fetch(TABLES, LIVE):
            await _create_table(connection, schema, table)
        for index in await _indexes(connection, schema, needed=True):
            await connection.execute(index.statement)


async def tables(connection: Connection, schema: str) -> list[str]:
    return [f"{schema}.{row['name']}" for row in await connection.fetch(TABLES, schema)]


async def drop_repeated_events(connection: Connection, schema: str) -> None:
    """Of an event that is on two partitions the first one stays, as in the live projection."""
    await connection.execute(DROP_REPEATED.format(schema=schema))


async def missing_indexes(connection: Connection, schema: str) -> list[Index]:
    """What readers need, in the order in which to build it."""
    there = {row["name"] for row in await connection.fetch(INDEXES, schema, list(FOLD_NEEDS))}
    wanted = await _indexes(connection, schema, needed=False)
    return [index for index in wanted if index.name not in there]


async def describe(connection: Connection, schema: str) -> list[str]:
    """Tables, columns, indexes, constraints, owners, privileges, policies and comments, without
    the schema's name: two schemas that can take each other's place have the same."""
    return [row["thing"] for row in await connection.fetch(DESCRIPTION, schema)]


async def fingerprint(connection: Connection) -> str:
    """Of the live tables' definition, the fold's code and the skips that it was given: what a
    half-built schema stands on."""
    digest = hashlib.sha256("\n".join(await describe(connection, LIVE)).encode())
    digest.update((await connection.fetchval(DESCRIBE_SKIPS)).encode())
    for package, modules in CODE_OF_THE_FOLD:
        for module in sorted(_modules(files(package)), key=lambda file: file.name):
            if modules is None or module.name in modules:
                digest.update(module.read_bytes())
    return digest.hexdigest()


def _modules(folder: Traversable) -> Iterable[Traversable]:
    return (file for file in folder.iterdir() if file.is_file())


async def _create_schema(connection: Connection, schema: str) -> None:
    row = await connection.fetchrow(
        "select nspowner::regrole::text as owner, nspacl::text as privileges"
        " from pg_namespace where nspname = $1",
        LIVE,
    )
    assert row is not None
    await connection.execute(f"create schema {schema}")
    await _grant(connection, "schema", row["privileges"], schema)
    await _give_to(connection, f"schema {schema}", row["owner"])


async def _create_table(connection: Connection, schema: str, table: asyncpg.Record) -> None:
    name = f"{schema}.{table['name']}"
    await connection.execute(
        f"create table {name} (like {LIVE}.{table['name']} including all excluding indexes)"
    )
    if table["options"]:
        await connection.execute(f"alter table {name} set ({', '.join(table['options'])})")
    if table["comment"]:
        comment = await connection.fetchval("select quote_literal($1::text)", table["comment"])
        await connection.execute(f"comment on table {name} is {comment}")
    await _grant(connection, "table", table["privileges"], schema, table["name"])
    await _wall(connection, schema, table)
    await _give_to(connection, f"table {name}", table["owner"])


async def _grant(
    connection: Connection, kind: str, privileges: str | None, schema: str, table: str = ""
) -> None:
    if privileges is not None:
        for (statement,) in await connection.fetch(GRANTS, kind, privileges, schema, table):
            await connection.execute(statement)


async def _wall(connection: Connection, schema: str, table: asyncpg.Record) -> None:
    """Row-level security, as it is on the live table."""
    for (statement,) in await connection.fetch(POLICIES, LIVE, schema, table["name"]):
        await connection.execute(statement)
    if table["is_walled"]:
        await connection.execute(f"alter table {schema}.{table['name']} enable row level security")


async def _give_to(connection: Connection, thing: str, owner: str) -> None:
    if owner != await connection.fetchval("select current_user::regrole::text"):
        await connection.execute(f"alter {thing} owner to {owner}")


async def _indexes(connection: Connection, schema: str, *, needed: bool) -> list[Index]:
    rows = await connection.fetch(INDEXES, LIVE, list(FOLD_NEEDS))
    return [
        Index(row["name"], row["table"], _statement(row, schema))
        for row in rows
        if row["needed"] == needed
    ]


def _statement(row: asyncpg.Record, schema: str) -> str:
    if row["constraint"]:
        added = f"add constraint {row['constraint']} {row['constraint_definition']}"
        return f"alter table {schema}.{row['table']} {added}"
    return str(row["definition"]).replace(f" ON {LIVE}.", f" ON {schema}.", 1)
