"""Kafka is away until the outbox is full: then requests are refused, and not one is lost."""

import asyncio

from tests.faults.arena import Arena, LoadShape
from tests.faults.probe import probe_of
from tests.faults.scenario import Scenario
from tests.waiting import eventually

LIMIT = 60
BEYOND = 60
"""Events: what is accepted until the api looks again, and those of the renders under way."""
COUNT = "select count(*) from event_log.outbox"


async def fill_the_outbox(arena: Arena, faults: int) -> None:
    kafka = arena.stack.kafka
    assert kafka is not None
    probe = await probe_of(arena)
    for _ in range(faults):
        await probe.until_available()
        await arena.until_accepted(5)
        await asyncio.to_thread(kafka.kill)
        await arena.until_accepted(5)
        await probe.until_unavailable()
        await arena.a_moment(3.0)
        await _look_at_the_bound(arena)
        arena.broke("the outbox is full")
        await asyncio.to_thread(kafka.start)
        await probe.until_available()
        await eventually("the outbox drains", lambda: _has_room(arena))


async def _look_at_the_bound(arena: Arena) -> None:
    count = await arena.pool.fetchval(COUNT)
    if not LIMIT <= count <= LIMIT + BEYOND:
        arena.load.wrong.append(f"{count} events wait, of {LIMIT} that may")


async def _has_room(arena: Arena) -> bool:
    return bool(await arena.pool.fetchval(COUNT) < LIMIT // 2)


SCENARIOS = [
    Scenario(
        "outbox-bound",
        fill_the_outbox,
        short=1,
        long=5,
        shape=LoadShape(pause=0.1),
        environment={"API_OUTBOX_LIMIT": str(LIMIT)},
        breaks_the_stack=True,
    )
]
