"""Two members of the content service at once: neither overlooks what the other is about to commit.

An influencer and the request for its picture come from different partitions, so one member may hear
that it is ready while another one takes the request.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest

from schemas.events import ContentRequested, Event, EventData
from services.content import intake
from services.content.intake import judge_again, take_in
from services.core.postgres import Connection, Pool, acquire
from services.core.subscriber import Received, TryLater
from tests.unit.content.test_waiting import (
    CONTENT_ID,
    CONTENT_JOB_ID,
    CREATED,
    RENDERED,
    STARTED,
    TO_READY,
)
from tests.unit.domain.specification import envelope, numbered
from tests.unit.samples import INFLUENCER_ID, TIME
from tests.unit.subscriber.records import record
from tests.waiting import eventually

BEFORE_READY = numbered((CREATED, STARTED, RENDERED))
READY = numbered(TO_READY)[-1]
REQUESTED = envelope(
    ContentRequested(
        job_id=CONTENT_JOB_ID,
        influencer_id=INFLUENCER_ID,
        brief="Sale!",
        influencer_sequence=1,
    ),
    1,
    CONTENT_ID,
)


def received(*events: Event) -> list[Received[EventData]]:
    return [Received(event, event.data, record(event)) for event in events]


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    async with acquire(pool) as connection, connection.transaction():
        yield connection


async def take(pool: Pool, *events: Event) -> None:
    async with transaction(pool) as connection:
        await take_in(received(*events), connection)


async def is_released(pool: Pool) -> bool:
    """And in the queue."""
    async with acquire(pool) as connection:
        return bool(
            await connection.fetchval(
                "select r.is_released and q.id is not null from content.requests r"
                " left join content.pgqueuer q on q.dedupe_key = $2 where r.content_id = $1",
                CONTENT_ID,
                CONTENT_JOB_ID,
            )
        )


@pytest.mark.parametrize("order", [(READY, REQUESTED), (REQUESTED, READY)])
async def test_a_request_is_released_although_the_influencer_becomes_ready_meanwhile(
    pool: Pool, order: tuple[Event, Event]
) -> None:
    await take(pool, *BEFORE_READY)
    first, second = order
    async with AsyncExitStack() as until_committed:
        slow = await until_committed.enter_async_context(transaction(pool))
        await take_in(received(first), slow)
        other = asyncio.create_task(take(pool, second))

        async def waits_or_is_over() -> bool:
            waiting = await slow.fetchval("select count(*) from pg_locks where not granted")
            return bool(waiting) or other.done()

        await eventually("the other member is as far as it gets", waits_or_is_over)
    await other
    assert await is_released(pool)


async def test_a_member_that_waits_too_long_for_another_asks_for_another_time(pool: Pool) -> None:
    async with transaction(pool) as slow, transaction(pool) as other:
        await take_in(received(*BEFORE_READY), slow)
        await other.execute("set local lock_timeout = '50ms'")
        with pytest.raises(TryLater):
            await take_in(received(REQUESTED), other)


async def test_what_was_overlooked_is_found_at_a_second_look(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def locks_nothing(*_: object) -> None:
        return

    await take(pool, *BEFORE_READY)
    with monkeypatch.context() as careless:
        careless.setattr(intake, "lock_influencers", locks_nothing)
        async with transaction(pool) as slow:
            await take_in(received(READY), slow)
            await take(pool, REQUESTED)
    assert not await is_released(pool)

    async with transaction(pool) as connection:
        assert await judge_again(connection, TIME) == 1
        assert await judge_again(connection, TIME) == 0
    assert await is_released(pool)


async def test_what_may_wait_is_left_alone_at_a_second_look(pool: Pool) -> None:
    await take(pool, *BEFORE_READY, REQUESTED)
    async with transaction(pool) as connection:
        assert await judge_again(connection, TIME) == 0
    assert not await is_released(pool)


async def test_a_request_changes_nothing_of_its_influencer(pool: Pool) -> None:
    await take(pool, *BEFORE_READY, REQUESTED)
    async with acquire(pool) as connection:
        written = "select xmin::text, sequence from content.influencers"
        before = await connection.fetchrow(written)
        async with connection.transaction():
            again = replace(REQUESTED, subject=f"{CONTENT_ID[:-1]}V")
            await take_in(received(again), connection)
        assert await connection.fetchrow(written) == before
