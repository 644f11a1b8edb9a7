"""`GET` of one record against a bare `fetchrow`, and a page of a list, early and late."""

import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter

import aiohttp
import asyncpg
import orjson

from deploy.local.ports import LOOPBACK
from tests.bench.create import BODY, ceiling
from tests.bench.http_load import Measured, get, measure
from tests.faults.system import System

ROUNDS = 3
SECONDS = 4.0
CONNECTIONS = 32
PAGE_TRIES = 40

FILL = """
insert into read_model.influencers
    (organization_id, influencer_id, project_id, status, sequence, created_at, state)
select $1, 'inf_' || lpad(n::text, 26, '0'), $2, 'ready', 7,
    timestamptz '2026-01-01' + n * interval '1 second',
    jsonb_set($3::jsonb, '{influencerId}', to_jsonb('inf_' || lpad(n::text, 26, '0')))
from generate_series($4::int, $5::int) as n
"""


async def bench_reads(system: System, folder: Path) -> dict[str, list[tuple[Measured, Measured]]]:
    """(ours, ceiling) of each round, by what is read."""
    api = system.parts["api"]
    api.start()
    await api.until_ready()
    influencer_id, location = await _create(system)
    key = {"X-Api-Key": system.api_key}
    ours = {
        "influencer": get(f"/v1/influencers/{influencer_id}", key),
        "job": get(location, key),
    }
    port = int(system.base_url.rpartition(":")[2])
    pairs: dict[str, list[tuple[Measured, Measured]]] = {name: [] for name in ours}
    async with ceiling(system, folder) as bare_port:
        bare = get(f"/read/{influencer_id}", {})
        for _ in range(ROUNDS):
            for name, request in ours.items():
                mine = await _measured(port, partial(bytes, request))
                pairs[name].append((mine, await _measured(bare_port, lambda: bare)))
    return pairs


async def _create(system: System) -> tuple[str, str]:
    path = f"{system.base_url}/v1/projects/{system.project_id}/influencers"
    headers = {"X-Api-Key": system.api_key, "Content-Type": "application/json"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(path, data=BODY) as response,
    ):
        accepted = await response.json()
    return accepted["influencerId"], accepted["locationUrl"]


async def _measured(port: int, request: Callable[[], bytes]) -> Measured:
    return await measure(
        LOOPBACK,
        port,
        request,
        connections=CONNECTIONS,
        seconds=SECONDS,
        expected=b"HTTP/1.1 200",
    )


async def bench_pages(system: System, sizes: tuple[int, ...]) -> dict[tuple[int, int], float]:
    """(rows, page) to the median seconds of a page of ten: the first and the thousandth."""
    api = system.parts["api"]
    if not api.process.is_running():
        api.start()
        await api.until_ready()
    connection = await asyncpg.connect(system.database_url)
    state = await _sample_state(system, connection)
    medians: dict[tuple[int, int], float] = {}
    filled = 0
    for size in sizes:
        await connection.execute(
            FILL, system.organization_id, system.project_id, state, filled + 1, size, timeout=300
        )
        filled = size
        await connection.execute("analyze read_model.influencers")
        last_page = min(1000, size // 10)
        cursor = await _cursor_of(system, last_page)
        medians[size, 1] = await _median_page(system, None)
        medians[size, last_page] = await _median_page(system, cursor)
    await connection.close()
    return medians


async def _sample_state(system: System, connection: "asyncpg.Connection[asyncpg.Record]") -> str:
    influencer_id, _ = await _create(system)
    state: str = await connection.fetchval(
        "select state::text from read_model.influencers where influencer_id = $1", influencer_id
    )
    return state


async def _cursor_of(system: System, page: int) -> str | None:
    """Walks to `page` in big steps: a cursor is a position, whatever the limit it came from."""
    cursor, passed = None, 0
    while passed < (page - 1) * 10:
        limit = min(100, (page - 1) * 10 - passed)
        cursor = (await _page(system, cursor, limit))["nextCursor"]
        passed += limit
    return cursor


async def _median_page(system: System, cursor: str | None) -> float:
    took = []
    for _ in range(PAGE_TRIES):
        started = perf_counter()
        await _page(system, cursor, 10)
        took.append(perf_counter() - started)
    return statistics.median(took)


async def _page(system: System, cursor: str | None, limit: int) -> dict[str, str]:
    query = f"?limit={limit}" + (f"&cursor={cursor}" if cursor else "")
    url = f"{system.base_url}/v1/projects/{system.project_id}/influencers{query}"
    async with (
        aiohttp.ClientSession(headers={"X-Api-Key": system.api_key}) as session,
        session.get(url) as response,
    ):
        page: dict[str, str] = orjson.loads(await response.read())
    assert response.status == 200, page
    return page
