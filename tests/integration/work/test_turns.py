"""Organizations take turns in the queue, however many jobs each has."""

from uuid import uuid4

import pytest

from schemas.ids import Prefix, UlidSource
from services.core.postgres import Pool
from services.core.work.queue import WorkQueue
from services.core.work.render_queue import PLACE, RenderTask

IDS = UlidSource()
NOISY, QUIET, OTHER = (str(uuid4()) for _ in range(3))

Queue = WorkQueue[RenderTask]


@pytest.fixture
def queue(pool: Pool) -> Queue:
    return WorkQueue(pool, PLACE, lease=60)


async def test_a_long_queue_of_one_does_not_hold_up_another(queue: Queue) -> None:
    await add(queue, NOISY, 50)
    await take(queue, 5)
    await add(queue, QUIET, 3)

    taken = await take(queue, 8)

    assert taken.count(QUIET) == 3
    assert set(taken[:3]) == {NOISY, QUIET}


async def test_all_who_wait_have_equal_shares(queue: Queue) -> None:
    await add(queue, NOISY, 60)
    await add(queue, QUIET, 20)
    await add(queue, OTHER, 20)

    taken = await take(queue, 30)

    assert all(9 <= taken.count(who) <= 11 for who in (NOISY, QUIET, OTHER))


async def test_who_had_many_turns_is_not_made_to_wait_for_them_later(queue: Queue) -> None:
    await add(queue, NOISY, 40)
    await take(queue, 40)
    await add(queue, QUIET, 10)
    await add(queue, NOISY, 10)

    taken = await take(queue, 10)

    assert taken.count(NOISY) in (4, 5, 6)


async def test_who_comes_back_is_not_given_the_turns_it_missed(queue: Queue) -> None:
    await add(queue, QUIET, 1)
    await add(queue, NOISY, 100)
    await take(queue, 60)
    await add(queue, QUIET, 20)

    taken = await take(queue, 20)

    assert taken.count(NOISY) >= 9


async def test_a_newcomer_does_not_begin_where_a_retry_was_left(queue: Queue) -> None:
    """Neither while it waits for its next attempt nor once it may be taken again."""
    await add(queue, NOISY, 60)
    [first] = await queue.take(1)
    [second] = await queue.take(1)
    await take(queue, 30)
    await queue.retry(first, 60)
    await queue.retry(second, 0)
    await add(queue, QUIET, 30)
    [again] = await queue.take(1)
    await queue.finish(again)

    taken = await take(queue, 20)

    assert again.id == second.id
    assert 9 <= taken.count(QUIET) <= 11


async def test_within_an_organization_the_first_comes_first(queue: Queue) -> None:
    jobs = await add(queue, NOISY, 5)
    entries = [await queue.take(1) for _ in jobs]
    assert [entry.task.job_id for [entry] in entries] == jobs


async def add(queue: Queue, organization_id: str, count: int) -> list[str]:
    jobs = [IDS.new(Prefix.JOB) for _ in range(count)]
    for job_id in jobs:
        task = RenderTask(
            job_id=job_id,
            organization_id=organization_id,
            influencer_id=IDS.new(Prefix.INFLUENCER),
            causation_id=IDS.new(Prefix.EVENT),
            traceparent="",
        )
        assert await queue.add(task)
    return jobs


async def take(queue: Queue, count: int) -> list[str]:
    """The organizations of the entries taken, and done with, one after the other."""
    taken = []
    for _ in range(count):
        [entry] = await queue.take(1)
        taken.append(entry.task.organization_id)
        await queue.finish(entry)
    return taken
