"""The work queue when it is long: taking and adding, and whose turn it is."""

from collections import Counter
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from uuid import uuid4

from schemas.ids import Prefix, UlidSource
from services.core.postgres import Pool, open_pool
from services.core.work.queue import WorkQueue
from services.core.work.render_queue import PLACE, RenderTask

LENGTHS = (1_000, 100_000)
ROUNDS = 200
FILL = """
with filled as (
    insert into render_queue.pgqueuer (priority, status, entrypoint, dedupe_key, payload)
    select -n, 'queued', 'render', 'job_' || organization || n, convert_to(json_build_object(
        'jobId', 'job_' || organization || n, 'organizationId', organization,
        'influencerId', 'inf_' || n, 'causationId', 'evt_' || n, 'traceparent', '')::text, 'UTF8')
    from generate_series(1, $2::int) as n, unnest($1::text[]) as organization
)
insert into control.queue_turns (queue, organization_id, turn)
select 'render_queue', organization::uuid, $2::int from unnest($1::text[]) as organization
"""
IDS = UlidSource()


@dataclass(frozen=True)
class LongQueue:
    """Seconds, medians; `newcomer` is its share of what is taken from when it came."""

    length: int
    take: float
    add: float
    newcomer: float


async def bench_work_queue(database_url: str) -> list[LongQueue]:
    pool = await open_pool(database_url, size=2, application="bench")
    try:
        return [await _measured(pool, length) for length in LENGTHS]
    finally:
        pool.terminate()


async def fill(pool: Pool, length: int) -> None:
    """With the jobs of two organizations, half each."""
    await pool.execute("truncate render_queue.pgqueuer, control.queue_turns, control.turns_served")
    await pool.execute(FILL, [str(uuid4()), str(uuid4())], length // 2, timeout=300)
    await pool.execute("analyze render_queue.pgqueuer")


async def _measured(pool: Pool, length: int) -> LongQueue:
    await fill(pool, length)
    queue = WorkQueue(pool, PLACE, lease=60)
    newcomer = str(uuid4())
    await _take_one(queue)
    adding = [await _add(queue, newcomer) for _ in range(ROUNDS)]
    taken = [await _take_one(queue) for _ in range(ROUNDS)]
    shares = Counter(organization for _, organization in taken)
    return LongQueue(
        length,
        median(seconds for seconds, _ in taken),
        median(adding),
        shares[newcomer] / ROUNDS,
    )


async def _add(queue: WorkQueue[RenderTask], organization_id: str) -> float:
    task = RenderTask(
        job_id=IDS.new(Prefix.JOB),
        organization_id=organization_id,
        influencer_id=IDS.new(Prefix.INFLUENCER),
        causation_id=IDS.new(Prefix.EVENT),
        traceparent="",
    )
    started = perf_counter()
    await queue.add(task)
    return perf_counter() - started


async def _take_one(queue: WorkQueue[RenderTask]) -> tuple[float, str]:
    started = perf_counter()
    [entry] = await queue.take(1)
    seconds = perf_counter() - started
    await queue.finish(entry)
    return seconds, entry.task.organization_id
