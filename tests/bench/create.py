"""`POST` create against the bare ceiling, in turns within one run."""

import os
import signal
import statistics
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import orjson

from deploy.local.ports import LOOPBACK, answers, any_free_port
from deploy.local.process import ChildProcess
from schemas.ids import Prefix, UlidSource
from tests.bench.http_load import Measured, measure, post
from tests.faults.system import System
from tests.waiting import eventually

ROUNDS = 3
SECONDS = 5.0
CONNECTIONS = 32
BODY = orjson.dumps(
    {
        "name": "Ava Chen",
        "gender": "female",
        "ageRange": "25-34",
        "style": "minimalist streetwear",
        "vibe": "warm and curious",
        "personality": {"traits": ["curious", "warm"], "tone": "conversational", "humor": "dry"},
    }
)
IDS = UlidSource()


async def bench_create(system: System, folder: Path) -> list[tuple[Measured, Measured]]:
    """(ours, ceiling) of each round; only the api of `system` runs, without its relay's rivals."""
    api = system.parts["api"]
    api.start()
    await api.until_ready()
    pairs = []
    try:
        async with ceiling(system, folder) as port:
            for _ in range(ROUNDS):
                pairs.append((await _ours(system), await _bare(port)))
    finally:
        api.process.stop(timeout=10)
    return pairs


async def _ours(system: System) -> Measured:
    headers = {"X-Api-Key": system.api_key, "Content-Type": "application/json"}
    path = f"/v1/projects/{system.project_id}/influencers"

    def request() -> bytes:
        return post(path, {**headers, "Idempotency-Key": IDS.new(Prefix.REQUEST)}, BODY)

    port = int(system.base_url.rpartition(":")[2])
    return await _measured(port, request)


async def _bare(port: int) -> Measured:
    headers = {"Content-Type": "application/json"}
    return await _measured(port, lambda: post("/create", headers, BODY))


async def _measured(port: int, request: Callable[[], bytes]) -> Measured:
    return await measure(
        LOOPBACK,
        port,
        request,
        connections=CONNECTIONS,
        seconds=SECONDS,
        expected=b"HTTP/1.1 202",
    )


@asynccontextmanager
async def ceiling(system: System, folder: Path) -> AsyncIterator[int]:
    """The port of the bare server."""
    port = any_free_port()
    process = ChildProcess("ceiling", folder / "run", folder / "ceiling.log", signal.SIGTERM)
    process.start(
        [sys.executable, "-m", "tests.bench.ceiling", system.database_url, str(port)],
        {**os.environ, "BENCH_ORGANIZATION": system.organization_id},
    )

    async def listens() -> bool:
        return answers(port)

    try:
        await eventually("the ceiling listens", listens)
        yield port
    finally:
        process.stop()


def ratio(pairs: list[tuple[Measured, Measured]]) -> float:
    return statistics.median(ours.rate / bare.rate for ours, bare in pairs)
