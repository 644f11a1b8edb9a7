"""The broker refuses a record in the middle of the relay's transaction: all of it is aborted."""

from services.core.eventlog.cursor import Cursor, read_last_cursor
from tests.faults.arena import Arena, LoadShape
from tests.faults.part_log import log_from_now
from tests.faults.scenario import Scenario
from tests.topic_configuration import small_records_only

TERM_ENDED, CAUSE = "relay_term_ended", "MessageSizeTooLarge"
TERMS = 2
LIMIT = 256
"""Bytes: fewer than any event has, more than the marker of an aborted transaction. The cursor's
record, in another topic, is taken."""
IDS_OF_OUTBOX = "select event_id from event_log.outbox"


async def refuse_records(arena: Arena, faults: int) -> None:
    servers, names = arena.stack.bootstrap_servers, arena.system.topics
    for _ in range(faults):
        await arena.until_accepted(5)
        await arena.a_moment(0.5)
        log = log_from_now(arena.system.parts["api"].process.log)
        async with small_records_only(servers, names, names.influencer, LIMIT):
            await log.until_says(CAUSE)
            before = await _cursor(arena)
            waiting = await _waiting(arena)
            await log.until_says(TERM_ENDED, times=log.count(TERM_ENDED) + TERMS)
            _compare(arena, before, await _cursor(arena), waiting - await _waiting(arena))
        arena.broke("a record of a transaction is refused")


def _compare(arena: Arena, before: Cursor, after: Cursor, gone: set[str]) -> None:
    if after != before:
        arena.load.wrong.append(f"the cursor moved past a refused record: {before}, {after}")
    if gone:
        arena.load.wrong.append(f"rows left the outbox, and were never published: {gone}")


async def _cursor(arena: Arena) -> Cursor:
    return await read_last_cursor(arena.stack.bootstrap_servers, arena.system.topics.cursor, 0)


async def _waiting(arena: Arena) -> set[str]:
    return {row["event_id"] for row in await arena.pool.fetch(IDS_OF_OUTBOX)}


SCENARIOS = [
    Scenario("produce-errors", refuse_records, short=1, long=12, shape=LoadShape(pause=0.2))
]
