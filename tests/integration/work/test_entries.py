"""Entries that are postponed, and entries that can't be read."""

from uuid import uuid4

import orjson
import pytest

from schemas.ids import Prefix, UlidSource
from services.core.postgres import Pool
from services.core.work.queue import Entry, WorkQueue
from services.core.work.render_queue import PLACE, RenderTask

IDS = UlidSource()
Queue = WorkQueue[RenderTask]
INSERT = """
insert into render_queue.pgqueuer (priority, status, entrypoint, dedupe_key, payload)
values ($1, 'queued', 'render', $2, $3)
"""


@pytest.fixture
def queue(pool: Pool) -> Queue:
    return WorkQueue(pool, PLACE, lease=60)


def a_task() -> RenderTask:
    return RenderTask(
        job_id=IDS.new(Prefix.JOB),
        organization_id=str(uuid4()),
        influencer_id=IDS.new(Prefix.INFLUENCER),
        causation_id=IDS.new(Prefix.EVENT),
        traceparent="",
    )


async def taken(queue: Queue) -> Entry[RenderTask]:
    [entry] = await queue.take(5)
    return entry


async def test_a_postponed_entry_comes_back_and_knows_since_when_it_waits(
    queue: Queue, pool: Pool
) -> None:
    await queue.add(a_task())
    entry = await taken(queue)
    assert (entry.resumes, entry.postponed_for) == (False, None)

    await queue.postpone(entry, 600)
    assert await queue.take(5) == []
    await pool.execute(
        "update render_queue.pgqueuer set execute_after = now(),"
        " headers = headers || jsonb_build_object("
        "   'postponedSince', (headers ->> 'postponedSince')::float8 - 50)"
    )
    entry = await taken(queue)
    assert (entry.resumes, entry.failures) == (True, 0)
    assert entry.postponed_for is not None
    assert 50 <= entry.postponed_for < 60

    await queue.resume(entry)
    await queue.hand_back(entry)
    entry = await taken(queue)
    assert not entry.resumes, "it was begun since, and its worker may have died of it"
    assert entry.postponed_for is not None
    assert entry.postponed_for >= 50, "and waits since the same moment"


async def test_only_who_holds_an_entry_postpones_it(queue: Queue, pool: Pool) -> None:
    await queue.add(a_task())
    entry = await taken(queue)
    await WorkQueue(pool, PLACE, lease=60).postpone(entry, 0)
    assert await queue.depth() == {"queued": 0, "picked": 1, "failed": 0}


@pytest.mark.parametrize("payload", [b"", b"{", b"[1]", b"{}", b'{"jobId": 1}', b"\xff\xfe", None])
async def test_one_that_tells_nothing_is_set_aside_and_the_others_are_taken(
    queue: Queue, pool: Pool, payload: bytes | None
) -> None:
    await pool.execute(INSERT, 0, "job_unreadable", payload)
    task = a_task()
    await queue.add(task)

    entry = await taken(queue)

    assert entry.task == task
    assert await queue.depth() == {"queued": 0, "picked": 1, "failed": 1}
    assert await queue.take(5) == []


async def test_one_that_tells_its_job_is_given_to_a_worker_to_end_it(
    queue: Queue, pool: Pool
) -> None:
    task = a_task()
    said = orjson.loads(task.model_dump_json(by_alias=True))
    said["traceparent"], said["causationId"] = 7, None
    await pool.execute(INSERT, 0, task.job_id, orjson.dumps(said))

    entry = await taken(queue)

    assert not entry.readable
    assert entry.task == task.model_copy(update={"causation_id": "", "traceparent": ""})
    await queue.finish(entry)
    assert await queue.depth() == {"queued": 0, "picked": 0, "failed": 0}
