"""`InfluencerReady` to a worker with the content job that waited for it, on an idle system."""

import asyncio
from contextlib import suppress
from itertools import pairwise
from typing import Any

import aiohttp

from deploy.local.ports import LOOPBACK
from tests.faults.system import System

ROUNDS = 10
POLL = 0.05
PICKUP_SUM = "content_pickup_seconds_sum "


async def bench_content(system: System) -> list[float]:
    """Seconds from the event's time until the worker begins, one per round, sorted."""
    part = system.add("content")
    await system.start()
    metrics = f"http://{LOOPBACK}:{part.operations_port}/metrics"
    headers = {"X-Api-Key": system.api_key}
    async with (
        aiohttp.ClientSession(system.base_url, headers=headers) as session,
        aiohttp.ClientSession() as operations,
    ):
        sums = []
        for _ in range(ROUNDS + 1):
            await _one(system, session)
            sums.append(await _pickup_seconds(operations, metrics))
    return sorted(after - before for before, after in pairwise(sums))


async def _one(system: System, session: aiohttp.ClientSession) -> None:
    project = f"/v1/projects/{system.project_id}"
    created = await _posted(session, f"{project}/influencers", {"name": "Ava Chen"})
    wanted = {"influencerId": created["influencerId"], "brief": "Weekend sale!"}
    accepted = await _posted(session, f"{project}/content", wanted)
    while True:
        async with session.get(accepted["locationUrl"]) as response:
            job = await response.json()
        if job["status"] == "completed":
            return
        if job["status"] != "running":
            raise AssertionError(job)
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), POLL)


async def _posted(session: aiohttp.ClientSession, path: str, body: dict[str, str]) -> Any:
    async with session.post(path, json=body) as response:
        return await response.json()


async def _pickup_seconds(operations: aiohttp.ClientSession, metrics: str) -> float:
    async with operations.get(metrics) as response:
        lines = (await response.text()).splitlines()
    found = next(line for line in lines if line.startswith(PICKUP_SUM))
    return float(found.removeprefix(PICKUP_SUM))
