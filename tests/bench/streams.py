"""5,000 open event streams on one api process: memory, idle CPU, and how soon they hear."""

import asyncio
import resource
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import TypeVar
from urllib.parse import urlsplit

import aiohttp
import psutil

from tests.bench.http_load import get
from tests.faults.system import System

STREAMS = 5_000
AT_ONCE = 50
IDLE_SECONDS = 10.0
CANCELED = 50
SPARE_FILES = 500

Value = TypeVar("Value")
Item = TypeVar("Item")


@dataclass(frozen=True)
class Streamed:
    """`memory` in MiB before and with all streams open, `cpu` of one core while nothing happens.

    `delays`, sorted, are seconds from a cancel's answer to the event at the job's one stream;
    `everyone` until the last of all streams of one job had it.
    """

    opened: int
    memory_before: float
    memory: float
    opening: float
    cpu: float
    delays: list[float]
    everyone: float


async def bench_streams(system: System) -> Streamed:
    _raise_file_limit(STREAMS + SPARE_FILES)
    for name in ("api", "projector"):
        system.parts[name].start()
        await system.parts[name].until_ready()
    headers = {"X-Api-Key": system.api_key}
    async with aiohttp.ClientSession(system.base_url, headers=headers) as session:
        jobs = await _many(range(STREAMS), lambda _: _create(system, session))
        before = _memory(system)
        started = perf_counter()
        streams = await _many(jobs, lambda job: Stream.open(system, job))
        opening = perf_counter() - started
        cpu = await _idle_cpu(system)
        memory = _memory(system)
        delays = [await _delay(session, stream) for stream in streams[:CANCELED]]
        await _many(streams, Stream.close)
        everyone = await _everyone(system, session)
    delays.sort()
    return Streamed(len(streams), before, memory, opening, cpu, delays, everyone)


@dataclass(frozen=True, slots=True)
class Stream:
    """One open stream, its snapshot read."""

    job_id: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def open(cls, system: System, job_id: str) -> "Stream":
        address = urlsplit(system.base_url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(get(f"/v1/jobs/{job_id}/events", {"X-Api-Key": system.api_key}))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        stream = cls(job_id, reader, writer)
        await stream.until(b"event: snapshot")
        return stream

    async def until(self, text: bytes) -> None:
        while not (await self.reader.readline()).startswith(text):
            if self.reader.at_eof():
                raise AssertionError(f"{self.job_id} ended without {text!r}")

    async def close(self) -> None:
        self.writer.transport.abort()


async def _delay(session: aiohttp.ClientSession, stream: Stream) -> float:
    heard = asyncio.create_task(stream.until(b"event: JobCanceled"))
    await _cancel(session, stream.job_id)
    started = perf_counter()
    await heard
    return perf_counter() - started


async def _everyone(system: System, session: aiohttp.ClientSession) -> float:
    job_id = await _create(system, session)
    streams = await _many(range(STREAMS), lambda _: Stream.open(system, job_id))
    everyone = [asyncio.create_task(one.until(b"event: JobCanceled")) for one in streams]
    await _cancel(session, job_id)
    started = perf_counter()
    await asyncio.gather(*everyone)
    took = perf_counter() - started
    await _many(streams, Stream.close)
    return took


async def _create(system: System, session: aiohttp.ClientSession) -> str:
    path = f"/v1/projects/{system.project_id}/influencers"
    async with session.post(path, json={"name": "Ava Chen"}) as response:
        return str((await response.json())["jobId"])


async def _cancel(session: aiohttp.ClientSession, job_id: str) -> None:
    async with session.post(f"/v1/jobs/{job_id}/cancel") as response:
        assert response.status == 202, await response.text()


async def _many(items: Iterable[Item], do: Callable[[Item], Awaitable[Value]]) -> list[Value]:
    """What `do` gives for each item, some at once."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(item: Item) -> Value:
        async with places:
            return await do(item)

    return await asyncio.gather(*(one(item) for item in items))


async def _idle_cpu(system: System) -> float:
    process = _api_process(system)
    started, before = perf_counter(), sum(process.cpu_times()[:2])
    with suppress(TimeoutError):
        async with asyncio.timeout(IDLE_SECONDS):
            await asyncio.Event().wait()
    return float(sum(process.cpu_times()[:2]) - before) / (perf_counter() - started)


def _memory(system: System) -> float:
    return float(_api_process(system).memory_info().rss) / 2**20


def _api_process(system: System) -> psutil.Process:
    pid = system.parts["api"].process.pid
    assert pid is not None
    started = psutil.Process(pid)
    return max([started, *started.children(recursive=True)], key=lambda p: p.memory_info().rss)


def _raise_file_limit(needed: int) -> None:
    """Of this process and of those that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < needed:
        raise SystemExit(f"the streams need {needed} open files, the hard limit is {hard}")
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
