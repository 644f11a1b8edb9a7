"""Clients at work under faults: closed loops that say when an answer is a wrong one."""

import asyncio
from collections.abc import Mapping

from tests.faults.chance import SeededIds, chance_for
from tests.faults.client import Client, pause
from tests.faults.deeds import Deeds
from tests.faults.journal import Journal
from tests.faults.rules import broken
from tests.faults.system import System

DRAINS_WITHIN = 30.0
"""Seconds after the last fault in which every request under way has its answer."""


class Load:
    """`clients` clients, each at most one influencer a `pause` seconds.

    `wrong` collects what no client should ever see, `created` the ids of every influencer and the
    job that was accepted with it.
    """

    def __init__(
        self, system: System, journal: Journal, *, clients: int, pause: float, seed: int
    ) -> None:
        self.latencies: list[float] = []
        self.wrong: list[str] = []
        self.created: list[tuple[str, str]] = []
        self.deleting: set[str] = set()
        self._system = system
        self._pause = pause
        self._client = Client(system, journal, self.wrong)
        self._own = self._deeds(seed, "a scenario")
        self._clients = [self._deeds(seed, f"client {number}") for number in range(clients)]
        self._ending = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def _deeds(self, seed: int, part: str) -> Deeds:
        chance = chance_for(seed, part)
        return Deeds(
            self._system, self._client, chance, SeededIds(chance), self.created, self.deleting
        )

    async def __aenter__(self) -> "Load":
        self._tasks = [asyncio.create_task(self._loop(deeds)) for deeds in self._clients]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end()
        await self._client.close()

    async def end(self) -> None:
        """Nobody asks for anything new; what was asked for is repeated until it is answered."""
        self._ending.set()
        if not self._tasks:
            return
        done, open_still = await asyncio.wait(self._tasks, timeout=DRAINS_WITHIN)
        for task in open_still:
            task.cancel()
        await asyncio.gather(*open_still, return_exceptions=True)
        self._tasks = []
        if open_still:
            detail = f"not within {DRAINS_WITHIN:.0f} s"
            self.wrong.append(broken("never-answered", f"{len(open_still)} clients", detail))
        for task in done:
            if fault := task.exception():
                self.wrong.append(broken("client-failed", type(fault).__name__, fault))

    async def _loop(self, deeds: Deeds) -> None:
        while not self._ending.is_set():
            began = asyncio.get_running_loop().time()
            influencer_id, job_id = await deeds.make_one()
            self.latencies.append(asyncio.get_running_loop().time() - began)
            await deeds.go_on(influencer_id, job_id)
            await pause(self._ending, self._pause)

    async def create(self) -> str:
        """One more influencer; its id."""
        return (await self._own.create())[0]

    async def rename(self, path: str, name: str, base_url: str = "") -> None:
        """At that replica; and reads what was written."""
        await self._own.rename(path.rpartition("/")[2], name, base_url)

    async def ask_again(self, body: Mapping[str, str], key: str) -> None:
        """For a client that left before it was answered: there may be a job, or not yet."""
        await self._own.create(body, key)
