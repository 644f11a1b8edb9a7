"""Ten times as many requests as the api can do, and what that does to it."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import asyncpg
import psutil

from deploy.local.ports import LOOPBACK
from tests.bench.create import BODY
from tests.faults.system import System
from tests.load.generator import Offer, Outcome, offered

TIMES = 10
CLOSED = 32
"""Connections of a closed loop, which finds out what the api can do."""
OPEN = 1_500
"""Connections of the open loop: a bound, so that the machine is not what breaks."""
MIB = 1024 * 1024
SAMPLED = 0.1

FIND_JOBS = "select count(*) from read_model.jobs where job_id = any($1::text[])"
COUNT_JOBS = "select count(*) from read_model.jobs"


@dataclass
class Memory:
    """Of the api's process, in MiB."""

    process: psutil.Process
    peak: float = 0.0

    def now(self) -> float:
        return float(self.process.memory_info().rss / MIB)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        self.peak = self.now()
        task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            task.cancel()

    async def _watch(self) -> None:
        while True:
            self.peak = max(self.peak, self.now())
            await asyncio.sleep(SAMPLED)


@dataclass
class Overload:
    """`before` and `after` are closed loops, `rounds` open ones; memory in MiB.

    `lost` are jobs that were promised and are not there, `unasked` are there without a 202.
    """

    warming: Outcome
    before: Outcome
    rounds: list[Outcome] = field(default_factory=list)
    peaks: list[float] = field(default_factory=list)
    memory_before: float = 0.0
    after: Outcome = field(default_factory=Outcome)
    lost: int = 0
    unasked: int = 0


def creating(system: System, **differing: object) -> Offer:
    offer = Offer(
        host=LOOPBACK,
        port=int(system.base_url.rpartition(":")[2]),
        path=f"/v1/projects/{system.project_id}/influencers",
        api_key=system.api_key,
        body=base64.b64encode(BODY).decode(),
        connections=CLOSED,
        seconds=3.0,
    )
    return replace(offer, **differing)  # type: ignore[arg-type]


async def overloaded(
    system: System, *, seconds: float, rounds: int = 2, closed: float = 4.0
) -> Overload:
    """The api of `system` runs, and nothing else of it.

    Each round takes `seconds`, each closed loop, before and after them, `closed`.
    """
    pid = system.parts["api"].process.pid
    assert pid is not None
    memory = Memory(psutil.Process(pid))
    warming = await offered(creating(system, seconds=1.0))
    seen = Overload(
        warming, await offered(creating(system, seconds=closed)), memory_before=memory.now()
    )
    capacity = seen.before.rate(202)
    for _ in range(rounds):
        async with memory.watched():
            much = creating(system, rate=TIMES * capacity, connections=OPEN, seconds=seconds)
            seen.rounds.append(await offered(much))
        seen.peaks.append(memory.peak)
    seen.after = await offered(creating(system, seconds=closed))
    await _compare(system, seen)
    return seen


async def _compare(system: System, seen: Overload) -> None:
    outcomes = (seen.warming, seen.before, *seen.rounds, seen.after)
    promised = [job for outcome in outcomes for job in outcome.jobs]
    connection = await asyncpg.connect(system.database_url)
    try:
        seen.lost = len(promised) - await connection.fetchval(FIND_JOBS, promised)
        seen.unasked = await connection.fetchval(COUNT_JOBS) - len(promised)
    finally:
        await connection.close()
