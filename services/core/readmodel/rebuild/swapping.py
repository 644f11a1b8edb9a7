"""Other read models take the place of the live ones, while everybody reads and writes.

Both follow one log, but the append writes live rows ahead of it: those must be carried over, or a
reader would see them go back. Triggers on the live tables note the keys of the rows that are
written from now on; rows that were ahead before are noted once. Then, in one transaction:

1. The positions are locked. Only the projector waits for that.
2. The other side reads the log up to the live position. What is ahead of it on the live side now
   can only come from the append, which takes it from the stream's own state: it can be trusted.
3. The live tables are locked against writers, for a few milliseconds and with time-outs: the noted
   rows that are ahead are carried over, and the schemas change their names.

Whoever waited for a lock, or holds a plan on the old tables, looks the names up again: a lock is
only taken once the plan is known to be valid still, and a schema's new name makes it invalid.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from typing import NamedTuple

import asyncpg

from services.core.failpoints import fail_point
from services.core.notifications import READ_MODEL_CHANNEL
from services.core.postgres import Connection
from services.core.readmodel.positions import Partition, positions_of
from services.core.readmodel.rebuild import shadow
from services.core.readmodel.rebuild.aside import Aside, is_as_seen
from services.core.readmodel.rebuild.models import MODELS, VERSIONED, Model
from services.core.readmodel.rebuild.scratch import SCRATCH
from services.core.readmodel.schema import LIVE, NEXT, PREVIOUS

TRIGGER = "rebuild_touched"
LEAVING = "read_model_leaving"
"""Beside a swap, only the read models from before the previous ones have this name."""

LOCK_TIMEOUT_MS = 15
"""How long writers may queue behind a lock that isn't granted."""
HOLD_TIMEOUT_MS = 25
"""How long the last step may take, locks included; then it is undone and tried again."""
POSITIONS_LOCK_TIMEOUT_MS = 2000
CARRIED_UNDER_LOCK = 200
"""Keys that may be left for the last step."""
TRIES = 200
PAUSE = 0.1

# The writer need not have a right to the scratch tables.
NOTE = f"""
create function {SCRATCH}.note() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    {{cases}}
    return null;
end $$
"""
NOTE_CASE = f"""
    if tg_table_name = '{{model}}' then
        insert into {SCRATCH}.touched (model, key) values ('{{model}}', {{key}});
    end if;"""
ADD_TRIGGER = f"""
create trigger {TRIGGER} after insert or update on {LIVE}.{{model}}
for each row execute function {SCRATCH}.note()
"""
TRIGGERS = """
select t.tgrelid::regclass::text from pg_trigger t where t.tgname = $1
"""

NOTE_AHEAD = f"""
insert into {SCRATCH}.touched (model, key)
select '{{model}}', {{key}}
from {LIVE}.{{model}} l left join {{schema}}.{{model}} n on {{same_key}}
where {{next}} < {{live}} and not exists (
    select from {SCRATCH}.differences d where d.model = '{{model}}' and d.key = {{key}}
)
"""

FORGET_EVEN = f"""
delete from {SCRATCH}.touched t where t.model = '{{model}}' and not exists (
    select from {LIVE}.{{model}} l left join {{schema}}.{{model}} n on {{is_next}}
    where {{is_live}} and {{next}} < {{live}}
)
"""

CARRY_OVER = f"""
    delete from {{schema}}.{{model}} n
    using (select distinct key from {SCRATCH}.touched where model = '{{model}}') t,
        {LIVE}.{{model}} l
    where {{is_next}} and {{is_live}} and {{next}} < {{live}};
    insert into {{schema}}.{{model}}
    select l.* from (select distinct key from {SCRATCH}.touched where model = '{{model}}') t
    join {LIVE}.{{model}} l on {{is_live}}
    on conflict do nothing;
"""

SWAP = f"""
do $$
begin
    lock table {{tables}} in share row exclusive mode;
    {{carry_over}}
    insert into {{schema}}.projection_offsets select * from {LIVE}.projection_offsets
    on conflict do nothing;
    {{renames}}
    update control.rebuilds set phase = 'swapped', ended_at = clock_timestamp()
    where rebuild_id = {{rebuild_id}};
end $$;
commit
"""

RENAME = """
    if to_regnamespace('{old}') is not null then
        alter schema {old} rename to {new};
    end if;"""

BUSY = (
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.DeadlockDetectedError,
)

CatchUp = Callable[[Mapping[Partition, int] | None], Awaitable[None]]
"""Folds the log into the other side: up to these positions, or to the high watermark."""


class SwapImpossible(Exception):
    """The live tables were never free for a moment; nothing is changed."""


class TablesChanged(Exception):
    """A migration has changed the live tables meanwhile: what was built is not like them."""

    def __init__(self) -> None:
        super().__init__("a migration has changed the live tables: rebuild once more")


class SetAsideMeanwhile(Exception):
    """A stream was freed, or a record skipped, since the two sides were compared."""


class _Tried(NamedTuple):
    is_swapped: bool
    held_up: float


class Swapped(NamedTuple):
    """`held_up` is for how many seconds writers had to wait at most, in any of the tries."""

    held_up: float
    tries: int


async def arm(connection: Connection, schema: str) -> None:
    """From now on, keys of live rows that are written are noted; so are those ahead of `schema`."""
    await _execute_when_free(connection, _function())
    for model in VERSIONED:
        await _execute_when_free(connection, ADD_TRIGGER.format(model=model.name))
    for model in VERSIONED:
        await connection.execute(_statement(NOTE_AHEAD, model, schema))


async def disarm(connection: Connection) -> None:
    """Takes the triggers away, wherever the tables are by now."""
    for (table,) in await connection.fetch(TRIGGERS, TRIGGER):
        await _execute_when_free(connection, f"drop trigger if exists {TRIGGER} on {table}")


async def swap(
    connection: Connection,
    other: Connection,
    schema: str,
    rebuild_id: int,
    catch_up: CatchUp,
    seen: Aside | None = None,
) -> Swapped:
    """Puts `schema` in the place of the live one, which becomes the previous one.

    `other` is a second connection; `seen` is what was set aside when the sides were compared.
    Raises SwapImpossible, TablesChanged, SetAsideMeanwhile.
    """
    held_up = 0.0
    for number in range(1, TRIES + 1):
        await _come_close(other, schema, catch_up)
        tried = await _try(connection, other, schema, rebuild_id, catch_up, seen)
        held_up = max(held_up, tried.held_up)
        if tried.is_swapped:
            return Swapped(held_up, number)
        await asyncio.sleep(random.uniform(0.5, 1.5) * PAUSE)
    raise SwapImpossible(f"the live tables were busy {TRIES} times in a row")


async def _come_close(connection: Connection, schema: str, catch_up: CatchUp) -> None:
    """Until few rows are ahead; what is ahead for long waits in the outbox, and is carried now."""
    for number in range(TRIES):
        await catch_up(None)
        if await _ahead(connection, schema) <= CARRIED_UNDER_LOCK:
            return
        if number:
            await _carry_over_what_is_trusted(connection, schema)


async def _ahead(connection: Connection, schema: str) -> int:
    for model in VERSIONED:
        await connection.execute(_statement(FORGET_EVEN, model, schema))
    return int(await connection.fetchval(f"select count(*) from {SCRATCH}.touched"))


async def _carry_over_what_is_trusted(connection: Connection, schema: str) -> None:
    """Rows that are ahead of a side that has read all that the live one has: from the append."""
    async with connection.transaction(isolation="repeatable_read"):
        live, there = await positions_of(connection, LIVE), await positions_of(connection, schema)
        if all(there.get(partition, 0) >= offset for partition, offset in live.items()):
            for model in VERSIONED:
                await connection.execute(_statement(CARRY_OVER, model, schema))


async def _try(
    connection: Connection,
    other: Connection,
    schema: str,
    rebuild_id: int,
    catch_up: CatchUp,
    seen: Aside | None,
) -> _Tried:
    started = None
    await connection.execute("begin; set local idle_in_transaction_session_timeout = '10s'")
    try:
        await connection.execute(
            f"set local lock_timeout = {POSITIONS_LOCK_TIMEOUT_MS};"
            f"lock table {LIVE}.projection_offsets in exclusive mode"
        )
        async with asyncio.timeout(POSITIONS_LOCK_TIMEOUT_MS / 1000):
            await catch_up(await positions_of(connection, LIVE))
            await _ahead(other, schema)
        if seen and not await is_as_seen(other, schema, seen):
            raise SetAsideMeanwhile
        if await shadow.describe(other, schema) != await shadow.describe(other, LIVE):
            raise TablesChanged
        fail_point("rebuild.locked")
        await connection.execute(
            f"set local lock_timeout = {LOCK_TIMEOUT_MS};"
            f"set local statement_timeout = {HOLD_TIMEOUT_MS}"
        )
        started = perf_counter()
        await connection.execute(_swap_statement(schema, rebuild_id))
        return _Tried(True, perf_counter() - started)
    except (*BUSY, TimeoutError):
        return _Tried(False, perf_counter() - started if started else 0.0)
    finally:
        if connection.is_in_transaction():
            await connection.execute("rollback")


async def tell_readers(connection: Connection) -> None:
    """Those who wait for a row look again."""
    await connection.execute("select pg_notify($1, '')", READ_MODEL_CHANNEL)


def _swap_statement(schema: str, rebuild_id: int) -> str:
    renames = (
        ((PREVIOUS, LEAVING), (LIVE, PREVIOUS), (NEXT, LIVE))
        if schema == NEXT
        else ((LIVE, LEAVING), (PREVIOUS, LIVE), (LEAVING, PREVIOUS))
    )
    return SWAP.format(
        schema=schema,
        rebuild_id=rebuild_id,
        tables=", ".join(f"{LIVE}.{model}" for model in MODELS),
        carry_over="".join(_statement(CARRY_OVER, model, schema) for model in VERSIONED),
        renames="".join(RENAME.format(old=old, new=new) for old, new in renames),
    )


def _statement(template: str, model: Model, schema: str) -> str:
    return template.format(
        model=model.name,
        schema=schema,
        key=model.key_of("l"),
        same_key=model.same_key("l", "n"),
        is_live=model.has_key("l", "t.key"),
        is_next=model.has_key("n", "t.key"),
        live=f"({model.version('l')})",
        next=f"({model.version('n')})",
    )


def _function() -> str:
    cases = (NOTE_CASE.format(model=m.name, key=m.key_of("new")) for m in VERSIONED)
    return NOTE.format(cases="".join(cases))


async def _execute_when_free(connection: Connection, statement: str) -> None:
    """What needs a lock on a live table, which nobody waits behind for long."""
    for _ in range(TRIES):
        try:
            async with connection.transaction():
                await connection.execute(f"set local lock_timeout = {LOCK_TIMEOUT_MS}")
                await connection.execute(statement)
            return
        except BUSY:
            await asyncio.sleep(random.uniform(0.5, 1.5) * PAUSE)
    raise SwapImpossible(f"a live table was busy {TRIES} times in a row")
