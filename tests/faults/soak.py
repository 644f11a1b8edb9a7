"""A steady load for a long time: memory, files and tasks of every service stay flat."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

import aiohttp
import psutil

from deploy.local.ports import LOOPBACK
from deploy.local.stack import Stack
from services.core.postgres import acquire
from tests.faults.arena import Arena, LoadShape, Network, for_a_while
from tests.faults.growth import ALLOWANCES, MEBIBYTE, Growth
from tests.faults.rules import broken
from tests.faults.scenario import Scenario, play
from tests.faults.system import Part
from tests.waiting import eventually

TASKS_METRIC = "asyncio_tasks "
PICTURES = """
select count(*) from event_log.streams
where stream_id like 'cnt\\_%' and state -> 'job' ->> 'status' = 'completed'
"""
AT_WORK = 8
"""Pictures for briefs: by then every service has started whatever it starts when it is needed."""
STEADY = LoadShape(clients=4, pause=0.25, pollers=2)

Held = dict[str, float]
Tell = Callable[[str], None]


async def soak(
    stack: Stack,
    folder: Path,
    *,
    seconds: float,
    seed: int,
    every: float = 5.0,
    tell: Tell,
    network: Network | None = None,
    template: str | None = None,
) -> list[str]:
    """What was broken meanwhile, growth among it; a sample every so many seconds is told."""
    sample = partial(_sample, seconds=seconds, every=every, tell=tell)
    scenario = Scenario("soak", sample, shape=STEADY, network=network)
    played = await play(scenario, stack, folder, seed=seed, faults=0, template=template)
    return played.verdict.violations


async def _sample(arena: Arena, _: int, *, seconds: float, every: float, tell: Tell) -> None:
    samples: dict[tuple[str, str], list[float]] = defaultdict(list)
    await eventually("every service is at work", lambda: _all_work(arena), within=60)
    began = asyncio.get_running_loop().time()
    while (elapsed := asyncio.get_running_loop().time() - began) < seconds:
        held = {name: await _held_by(part) for name, part in arena.system.parts.items()}
        for name, each in held.items():
            for kind, value in each.items():
                samples[name, kind].append(value)
        tell(f"{elapsed:6.0f} s  {'  '.join(_told(name, each) for name, each in held.items())}")
        await for_a_while(every)
    for (name, kind), values in samples.items():
        growth = Growth.of(values)
        if growth.exceeds(ALLOWANCES[kind]):
            detail = f"{kind}: {growth.first:,.0f}, then {growth.last:,.0f}"
            arena.load.wrong.append(broken("grows", name, detail))


async def _all_work(arena: Arena) -> bool:
    async with acquire(arena.pool) as connection:
        return int(await connection.fetchval(PICTURES)) >= AT_WORK


async def _held_by(part: Part) -> Held:
    """By the service and the processes that it has started."""
    assert part.process.pid is not None
    service = psutil.Process(part.process.pid)
    memory = files = 0
    for process in (service, *service.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            memory += process.memory_info().rss
            files += process.num_fds()
    return {"memory": memory, "files": files, "tasks": await _tasks_of(part)}


async def _tasks_of(part: Part) -> float:
    url = f"http://{LOOPBACK}:{part.operations_port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        lines = (await response.text()).splitlines()
    [line] = [line for line in lines if line.startswith(TASKS_METRIC)]
    return float(line.removeprefix(TASKS_METRIC))


def _told(name: str, held: Mapping[str, float]) -> str:
    memory = held["memory"] / MEBIBYTE
    return f"{name} {memory:.0f} MiB {held['files']:.0f} files {held['tasks']:.0f} tasks"
