"""How fast the log is folded anew, beside merely reading it, and what a swap holds up."""

import asyncio
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import aiohttp
import asyncpg
import orjson

from deploy.local.stack import Stack
from services.core.eventlog.topics import TopicNames
from services.core.readmodel.rebuild import shadow
from services.core.readmodel.rebuild.filling import Filled, Sources, fill
from services.core.readmodel.schema import NEXT
from services.core.replay.processes import carry_out_in_processes
from services.core.replay.reading import log_spans, read_chunks
from tests.bench.create import BODY
from tests.bench.histories import EVENTS_EACH
from tests.bench.projector import fresh_database, fresh_topics, write_backlog
from tests.faults.system import System
from tests.waiting import eventually

MEASURED = "tests.integration.ops.measured_worker"
EVENTS = 200_000
MEMORY = 256
ROUNDS = 3
SWAPS = 8
RATE = 40
"""Creates a second while rebuilds run, and as many reads."""
AROUND = 0.1
"""Seconds before and after a swap in which a request counts as met by it."""


@dataclass(frozen=True)
class Folded:
    """Events a second, medians of rounds; `rest` is how many seconds indexes took after the fill
    with one worker, `memory` what a worker had at most, in MiB."""

    reading: float
    one: float
    two: float
    rest: float
    memory: float


@dataclass
class Swapped:
    """Milliseconds. `held_up`: how long the swap's lock was held or waited for, each swap;
    `met`: requests during swaps; `others`: requests while nothing was swapped."""

    held_up: list[float] = field(default_factory=list)
    met: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)


async def bench_folding(stack: Stack) -> Folded:
    """Beside each other, round by round: what else the machine does changes all of them alike."""
    names = TopicNames(f"bench-{secrets.token_hex(4)}.")
    servers = stack.bootstrap_servers
    async with fresh_database(stack.database_url) as url, fresh_topics(servers, names):
        written = await write_backlog(servers, names, EVENTS // EVENTS_EACH)
        rounds = [await _round(Sources(url, servers), names, written) for _ in range(ROUNDS)]
        memory = await _memory(Sources(url, servers), names)
    reading, one, two, rest = (median(figures) for figures in zip(*rounds, strict=True))
    return Folded(reading, one, two, rest, memory)


async def _round(
    sources: Sources, names: TopicNames, written: int
) -> tuple[float, float, float, float]:
    reading = await _reading_rate(sources, names, written)
    connection = await asyncpg.connect(sources.database_url)
    try:
        one = await _folding_rate(connection, sources, names, workers=1)
        started = time.perf_counter()
        for index in await shadow.missing_indexes(connection, NEXT):
            await connection.execute(index.statement)
        rest = time.perf_counter() - started
        two = await _folding_rate(connection, sources, names, workers=2)
    finally:
        await connection.close()
    return reading, one, two, rest


async def _reading_rate(sources: Sources, names: TopicNames, written: int) -> float:
    spans = await log_spans(sources.bootstrap_servers, names.events)
    started, read = time.perf_counter(), 0
    async for chunk in read_chunks(sources.bootstrap_servers, spans, size=4000):
        read += len(chunk.records)
    assert read == written
    return read / (time.perf_counter() - started)


async def _folding_rate(
    connection: Any, sources: Sources, names: TopicNames, *, workers: int
) -> float:
    """From the first batch on: starting processes is not throughput."""
    await shadow.drop(connection, NEXT)
    await shadow.create(connection, NEXT)
    heard: list[tuple[float, int]] = []

    def hear(filled: Filled) -> None:
        heard.append((time.perf_counter(), filled.events))

    spans = await log_spans(sources.bootstrap_servers, names.events)
    await fill(sources, NEXT, spans, workers=workers, memory=MEMORY, heard=hear)
    (began, first), (ended, _) = heard[0], heard[-1]
    return (sum(events for _, events in heard) - first) / (ended - began)


async def _memory(sources: Sources, names: TopicNames) -> float:
    spans = await log_spans(sources.bootstrap_servers, names.events)
    order = {
        "database": sources.database_url,
        "kafka": sources.bootstrap_servers,
        "schema": NEXT,
        "memory": MEMORY,
        "spans": [(*partition, *span) for partition, span in spans.items()],
    }
    connection = await asyncpg.connect(sources.database_url)
    try:
        await shadow.drop(connection, NEXT)
        await shadow.create(connection, NEXT)
    finally:
        await connection.close()
    told: list[float] = []
    await carry_out_in_processes(MEASURED, [order], lambda _, said: told.append(said))
    return told[-1]


async def bench_swap(system: System) -> Swapped:
    """Rebuilds again and again while clients create and read."""
    for name in ("api", "projector"):
        system.parts[name].start()
        await system.parts[name].until_ready()
    requests: list[tuple[float, float]] = []
    swaps: list[tuple[float, float]] = []
    async with _clients(system, requests):
        await eventually("a warm system", lambda: _at_least(requests, 10 * RATE), within=60)
        requests.clear()
        for _ in range(SWAPS):
            swaps.append(await _rebuild(system))
    swapped = Swapped(held_up=[held_up * 1e3 for _, held_up in swaps])
    for started, ended in requests:
        met = any(started < at + AROUND and ended > at - AROUND for at, _ in swaps)
        (swapped.met if met else swapped.others).append((ended - started) * 1e3)
    return swapped


async def _rebuild(system: System) -> tuple[float, float]:
    """When it swapped, and for how many seconds writers were held up."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "services.ops", "rebuild", "--yes", "--json"),
        env={**os.environ, **system.parts["api"].environment},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    answer = orjson.loads(out)
    assert answer["outcome"] == "swapped", answer
    connection = await asyncpg.connect(system.database_url)
    try:
        ended = await connection.fetchval("select max(ended_at) from control.rebuilds")
    finally:
        await connection.close()
    return ended.timestamp(), answer["heldUpSeconds"]


@asynccontextmanager
async def _clients(system: System, requests: list[tuple[float, float]]) -> AsyncIterator[None]:
    headers = {"X-Api-Key": system.api_key}
    async with aiohttp.ClientSession(system.base_url, headers=headers) as session:
        running = asyncio.create_task(_at_rate(system, session, requests))
        try:
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def _at_rate(
    system: System, session: aiohttp.ClientSession, requests: list[tuple[float, float]]
) -> None:
    path = f"/v1/projects/{system.project_id}/influencers"

    async def create_and_read() -> None:
        started = time.time()
        async with session.post(path, data=BODY, headers=JSON) as response:
            assert response.status == 202, await response.text()
            influencer_id = (await response.json())["influencerId"]
        between = time.time()
        async with session.get(f"/v1/influencers/{influencer_id}") as response:
            assert response.status == 200, await response.text()
        requests.extend(((started, between), (between, time.time())))

    clock = asyncio.get_running_loop().time
    due = clock()
    async with asyncio.TaskGroup() as group:
        while True:
            group.create_task(create_and_read())
            due += 1 / RATE
            await asyncio.sleep(max(0.0, due - clock()))


async def _at_least(requests: list[tuple[float, float]], count: int) -> bool:
    return len(requests) >= count


JSON = {"Content-Type": "application/json"}
