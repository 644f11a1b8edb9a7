"""The organization's feed: how soon an append is in it, and pages of a long one."""

import asyncio
import statistics
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import aiohttp
import asyncpg
import orjson

from tests.bench.create import BODY
from tests.faults.system import System

CREATED = 60
ROWS = 200_000
PAGES = 100
RARE = 10_000
"""One event of so many is of the type that is asked for."""

FILL = """
insert into read_model.events (organization_id, stream_id, sequence, topic, partition,
    record_offset, event_id, type, version, project_id, occurred_at, source, correlation_id,
    causation_id, traceparent, data)
select $1, 'inf_' || lpad((n / 8)::text, 26, '0'), n % 8 + 1, $3, (n / 8) % 12, n / 96 * 8 + n % 8,
    'evt_' || lpad(n::text, 26, '0'),
    case when n % $5 = 0 then 'InfluencerDeleted' else 'InfluencerImageRendered' end, 1, $2,
    timestamptz '2026-01-01' + n * interval '1 second', '/services/renderer',
    'job_' || lpad((n / 8)::text, 26, '0'), 'job_' || lpad((n / 8)::text, 26, '0'),
    '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    json_build_object('jobId', 'job_' || lpad((n / 8)::text, 26, '0'), 'filler', repeat('x', 600))
from generate_series(0, $4 - 1) as n
"""
FOLDED = "update read_model.projection_offsets set next_offset = $1"


@dataclass(frozen=True)
class Fed:
    """Seconds, sorted: from a 202 to the event at a stream and at a read that waits; medians of a
    page of 100 at the beginning and the end of ROWS events, and of one with a narrow filter.

    `rate` is of events a second for one reader, page by page.
    """

    streamed: list[float]
    waited: list[float]
    rate: float
    first_page: float
    last_page: float
    narrow_page: float


async def bench_feed(system: System) -> Fed:
    for name in ("api", "projector"):
        system.parts[name].start()
        await system.parts[name].until_ready()
    headers = {"X-Api-Key": system.api_key}
    async with aiohttp.ClientSession(system.base_url, headers=headers) as session:
        streamed = await _until_streamed(system, session)
        waited = await _until_answered(system, session)
        system.parts["projector"].kill()
        await _fill(system)
        cursor, rate, took = await _walked(session)
        end = (await _page(session, "after=latest"))["nextCursor"]
        last = [await _timed(session, f"after={end}") for _ in range(PAGES)]
        narrow = f"after={cursor}&types=InfluencerDeleted"
        narrow_took = [await _timed(session, narrow) for _ in range(PAGES)]
    return Fed(
        streamed,
        waited,
        rate,
        statistics.median(took),
        statistics.median(last),
        statistics.median(narrow_took),
    )


async def _until_streamed(system: System, session: aiohttp.ClientSession) -> list[float]:
    delays = []
    accept = {"Accept": "text/event-stream"}
    async with session.get("/v1/events?after=latest", headers=accept) as stream:
        for _ in range(CREATED):
            created = asyncio.create_task(_create(system, session))
            while not (await stream.content.readline()).startswith(b"data: "):
                pass
            delays.append(perf_counter() - await created)
    return sorted(delays)


async def _until_answered(system: System, session: aiohttp.ClientSession) -> list[float]:
    delays = []
    cursor = (await _page(session, "after=latest"))["nextCursor"]
    for _ in range(CREATED):
        held = asyncio.create_task(_page(session, f"after={cursor}", Prefer="wait=30"))
        created = await _create(system, session)
        cursor = (await held)["nextCursor"]
        delays.append(perf_counter() - created)
    return sorted(delays)


async def _create(system: System, session: aiohttp.ClientSession) -> float:
    """When it was answered."""
    path = f"/v1/projects/{system.project_id}/influencers"
    headers = {"Content-Type": "application/json"}
    async with session.post(path, data=BODY, headers=headers) as response:
        assert response.status == 202, await response.text()
    return perf_counter()


async def _fill(system: System) -> None:
    connection = await asyncpg.connect(system.database_url)
    organization, project = system.organization_id, system.project_id
    topic = system.topics.media
    await connection.execute(FILL, organization, project, topic, ROWS, RARE, timeout=600)
    await connection.execute(FOLDED, ROWS)
    await connection.execute("analyze read_model.events")
    await connection.close()


async def _walked(session: aiohttp.ClientSession) -> tuple[str, float, list[float]]:
    """The cursor behind many pages, events a second, and how long each page took."""
    cursor, took, events = "", [], 0
    for _ in range(PAGES):
        started = perf_counter()
        page = await _page(session, f"after={cursor}" if cursor else "")
        took.append(perf_counter() - started)
        cursor, events = page["nextCursor"], events + len(page["items"])
    return cursor, events / sum(took), took


async def _timed(session: aiohttp.ClientSession, query: str) -> float:
    started = perf_counter()
    await _page(session, query)
    return perf_counter() - started


async def _page(session: aiohttp.ClientSession, query: str, **headers: str) -> dict[str, Any]:
    async with session.get(f"/v1/events?limit=100&{query}", headers=headers) as response:
        page: dict[str, Any] = orjson.loads(await response.read())
    assert response.status == 200, page
    return page
