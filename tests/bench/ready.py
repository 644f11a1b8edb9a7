"""Create → `ready` of four 1024 px images, on an otherwise idle system."""

import asyncio
import statistics
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter

import aiohttp

from tests.faults.system import System

ROUNDS = 10
POLL = 0.02


@dataclass(frozen=True)
class Readied:
    """Seconds: from the request to `ready`, and the worker's part from start to end."""

    total: float
    rendering: float


async def bench_ready(system: System) -> list[Readied]:
    await system.start()
    headers = {"X-Api-Key": system.api_key}
    async with aiohttp.ClientSession(system.base_url, headers=headers) as session:
        await _one(system, session)
        return [await _one(system, session) for _ in range(ROUNDS)]


async def _one(system: System, session: aiohttp.ClientSession) -> Readied:
    body = {"name": "Ava Chen", "gender": "female", "hairStyle": "long wavy"}
    started = perf_counter()
    path = f"/v1/projects/{system.project_id}/influencers"
    async with session.post(path, json=body) as response:
        accepted = await response.json()
    while True:
        async with session.get(accepted["locationUrl"]) as response:
            job = await response.json()
        if job["status"] == "completed":
            return Readied(perf_counter() - started, _rendering(job))
        if job["status"] != "running":
            raise AssertionError(job)
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), POLL)


def _rendering(job: dict[str, str]) -> float:
    started, finished = (_seconds(job[name]) for name in ("startedAt", "finishedAt"))
    return finished - started


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def median(rounds: list[Readied]) -> Readied:
    return Readied(
        statistics.median(one.total for one in rounds),
        statistics.median(one.rendering for one in rounds),
    )
