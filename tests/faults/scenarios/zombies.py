"""Zombies: stopped at a fail point past every lease and time-out, while a replica takes over; then
they go on where they were."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import cycle
from urllib.parse import urlsplit

from deploy.local.ports import LOOPBACK
from deploy.local.stack import Stack
from tests.faults.arena import Arena, LoadShape, for_a_while
from tests.faults.proxy import Proxy, proxy_to
from tests.faults.scenario import Scenario
from tests.faults.scenarios.fail_points import MET_WITHIN, arm
from tests.faults.system import Part, System
from tests.waiting import eventually

TURNS: tuple[Mapping[str, str], ...] = (
    {
        "content": "worker.rendered",
        "renderer": "worker.stored",
        "projector": "projector.before_commit",
        "api": "relay.before_commit",
    },
    {
        "content": "append.before_commit",
        "renderer": "append.before_commit",
        "projector": "projector.after_commit",
        "api": "append.before_commit",
    },
    {
        "content": "append.after_commit",
        "renderer": "append.after_commit",
        "api": "append.after_commit",
    },
    {"content": "intake.before_commit", "renderer": "ingest.before_insert", "api": "relay.read"},
    {"content": "worker.claimed", "renderer": "ingest.after_insert", "api": "relay.sent"},
    {"content": "worker.stored", "renderer": "worker.claimed", "api": "relay.before_cursor"},
    {"content": "content.completed", "renderer": "worker.rendered", "api": "relay.after_commit"},
    {
        "content": "worker.before_acknowledge",
        "renderer": "worker.before_acknowledge",
        "api": "relay.deleted",
    },
    {"content": "worker.acknowledged", "renderer": "worker.acknowledged"},
)
"""Each service at a point of its own, all at once; those that others feed come first."""

IN_TRANSACTION, LEADING, WORKING = 33.0, 23.0, 13.0
"""Seconds: past the 30 s after which Postgres ends an idle transaction, the relay's 20 s, and the
consumer groups' 10 s and the queues' leases."""
CLIENTS = "clients and the api"


@asynccontextmanager
async def clients_through_a_switch(
    system: System, stack: Stack
) -> AsyncIterator[Mapping[str, Proxy]]:
    """So that clients reach the replica while the api is stopped, as through a load balancer."""
    async with proxy_to(_port_of(system.base_url)) as proxy:
        system.base_url = f"http://{LOOPBACK}:{proxy.port}"
        yield {CLIENTS: proxy}


async def stop_at_each(arena: Arena, faults: int) -> None:
    wanted = arena.faults.total() + faults
    for places in cycle(TURNS):
        await _stop_and_go_on(arena, places)
        if arena.faults.total() >= wanted:
            return


async def _stop_and_go_on(arena: Arena, places: Mapping[str, str]) -> None:
    parts = [arena.system.parts[name] for name in places]
    for part in parts:
        await _stop(arena, part, places[part.name])
    stopped_at = asyncio.get_running_loop().time()
    twins = [arena.system.twin_of(part) for part in parts]
    await _start(arena, twins)
    longest = max(map(_seconds_at, places.values()))
    await for_a_while(stopped_at + longest - asyncio.get_running_loop().time())
    await arena.until_accepted(5)
    for part in parts:
        part.process.resume()
    await arena.until_accepted(5)
    await _leave_it_to(arena, parts, twins)


async def _stop(arena: Arena, part: Part, point: str) -> None:
    """It is the only one of its kind: the relay leads, the consumer has all partitions."""
    await arm(arena, part, "STOP_AT", point)
    await eventually(f"{part.name} stops at {point}", part.is_stopped, MET_WITHIN)
    part.process.pause()  # its children too
    arena.broke(f"stopped at {point}")


async def _start(arena: Arena, twins: Sequence[Part]) -> None:
    for twin in twins:
        twin.start()
    await asyncio.gather(*(twin.until_ready() for twin in twins))
    for twin in twins:
        if twin.name == "api":
            arena.network[CLIENTS].target_port = int(twin.environment["API_PORT"])


async def _leave_it_to(arena: Arena, parts: Sequence[Part], twins: Sequence[Part]) -> None:
    """The zombies go on alone; what noticed that it hung, and ended, is started again."""
    for part in parts:
        if await part.has_ended():
            part.start()
    await asyncio.gather(*(part.until_ready() for part in parts))
    arena.network[CLIENTS].target_port = int(arena.system.environment["API_PORT"])
    await asyncio.gather(*(asyncio.to_thread(twin.process.stop, 15) for twin in twins))


def _seconds_at(point: str) -> float:
    kind = point.partition(".")[0]
    return {"append": IN_TRANSACTION, "relay": LEADING}.get(kind, WORKING)


def _port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


SCENARIOS = [
    Scenario(
        "zombies",
        stop_at_each,
        short=len(TURNS[0]),
        long=sum(map(len, TURNS)),
        shape=LoadShape(pause=0.2),
        environment={"RENDERER_LEASE": "2", "CONTENT_LEASE": "2"},
        network=clients_through_a_switch,
    )
]
