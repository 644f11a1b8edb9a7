"""Connections that are cut after COMMIT was sent: done, and whoever asked does not know it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit

from deploy.local.stack import Stack
from tests.faults.arena import Arena
from tests.faults.commit_cutter import CommitCutter
from tests.faults.proxy import Proxy, listening
from tests.faults.scenario import Scenario
from tests.faults.scenarios.network import moved
from tests.faults.system import System
from tests.waiting import eventually

WRITERS = ("api", "renderer", "content")
"""Whoever appends events."""


@asynccontextmanager
async def through_cutters(system: System, stack: Stack) -> AsyncIterator[Mapping[str, Proxy]]:
    """Each of the writers reaches Postgres through a cutter of its own."""
    port = urlsplit(stack.database_url).port
    assert port is not None
    async with AsyncExitStack() as running:
        cutters: dict[str, Proxy] = {}
        for name in WRITERS:
            cutter = await running.enter_async_context(listening(CommitCutter(port)))
            part = system.parts[name]
            url = moved(system.database_url, cutter.port)
            part.environment = {**part.environment, "DATABASE_URL": url}
            cutters[name] = cutter
        yield cutters


async def cut_after_commit(arena: Arena, faults: int) -> None:
    """One after the other; the client, or the worker, tries again with the same key."""
    for turn in range(faults):
        name = WRITERS[turn % len(WRITERS)]
        cutter = arena.network[name]
        assert isinstance(cutter, CommitCutter)
        await arena.a_moment(0.2)
        await _cut_one(name, cutter)
        arena.broke(f"the answer to a commit of the {name}'s is lost")


async def _cut_one(name: str, cutter: CommitCutter) -> None:
    before = cutter.cut
    cutter.wanted += 1

    async def is_cut() -> bool:
        return cutter.cut > before

    await eventually(f"a commit of the {name}'s is cut", is_cut, within=30)


SCENARIOS = [Scenario("cut-commits", cut_after_commit, short=12, long=90, network=through_cutters)]
