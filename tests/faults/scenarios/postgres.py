"""Postgres goes: every connection is ended, it restarts, is killed, or its standby takes over."""

import asyncio
from collections.abc import Awaitable, Callable

from services.core.postgres import acquire
from tests.faults.arena import Arena, LoadShape
from tests.faults.probe import Probe, probe_of
from tests.faults.scenario import Scenario
from tests.faults.standby import PairStack, PostgresPair, with_a_standby

END_EVERYONE = """
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid()
"""


async def break_postgres(arena: Arena, faults: int) -> None:
    probe = await probe_of(arena)
    for turn in range(faults):
        what, break_it = WAYS[turn % len(WAYS)]
        await arena.until_accepted(5)
        await arena.a_moment(1.0)
        await break_it(arena, probe)
        arena.broke(what)
        await probe.until_available()
    await arena.until_accepted(5)


async def _end_everyone(arena: Arena, _: Probe) -> None:
    async with acquire(arena.pool) as connection:
        await connection.execute(END_EVERYONE)


async def _restart(arena: Arena, probe: Probe) -> None:
    await asyncio.to_thread(_pair(arena).primary.stop)
    await probe.until_unavailable()
    await asyncio.to_thread(_pair(arena).primary.start)


async def _kill(arena: Arena, probe: Probe) -> None:
    await asyncio.to_thread(_pair(arena).primary.kill)
    await probe.until_unavailable()
    await asyncio.to_thread(_pair(arena).primary.start)


async def _fail_over(arena: Arena, probe: Probe) -> None:
    """Whatever was acknowledged is on the standby: it must all be there afterwards."""
    pair = _pair(arena)
    await pair.add_standby()
    await arena.until_accepted(20)
    await arena.a_moment(1.0)
    await asyncio.to_thread(pair.primary.kill)
    await probe.until_unavailable()
    await pair.promote()


def _pair(arena: Arena) -> PostgresPair:
    assert isinstance(arena.stack, PairStack)
    assert arena.stack.pair is not None
    return arena.stack.pair


WAYS: list[tuple[str, Callable[[Arena, Probe], Awaitable[None]]]] = [
    ("end every connection to Postgres", _end_everyone),
    ("kill -9 Postgres", _kill),
    ("promote the synchronous standby", _fail_over),
    ("restart Postgres", _restart),
]

SCENARIOS = [
    Scenario(
        "postgres",
        break_postgres,
        short=4,
        long=32,
        shape=LoadShape(pause=0.2),
        stack=with_a_standby,
    )
]
