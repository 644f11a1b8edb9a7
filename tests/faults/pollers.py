"""Readers that never stop reading, and notice when what they read goes back in time."""

import asyncio
import random
from collections.abc import Sequence

import aiohttp

from tests.faults.chance import chance_for
from tests.faults.client import answer_of, fault_of, open_session, pause
from tests.faults.load import Load
from tests.faults.observations import Observations
from tests.faults.rules import broken
from tests.faults.system import System

PAUSE = 0.02
ANSWER_WITHIN = 10.0


class Pollers:
    """`count` readers of what `load` has created; `wrong` collects what they saw go back."""

    def __init__(self, system: System, load: Load, *, count: int, seed: int) -> None:
        self.reads = 0
        self._system = system
        self._load = load
        self._chances = [chance_for(seed, f"poller {number}") for number in range(count)]
        self._observations = Observations()
        self._ending = asyncio.Event()

    @property
    def wrong(self) -> list[str]:
        return self._observations.wrong

    async def __aenter__(self) -> "Pollers":
        self._session = open_session(self._system, ANSWER_WITHIN)
        self._tasks = [asyncio.create_task(self._poll(chance)) for chance in self._chances]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ending.set()
        await asyncio.gather(*self._tasks)
        await self._session.close()

    async def _poll(self, chance: random.Random) -> None:
        while not self._ending.is_set():
            if self._load.created:
                influencer_id, job_id = _chosen(chance, self._load.created)
                await self._look(f"/v1/influencers/{influencer_id}")
                if job_id:
                    await self._look(f"/v1/jobs/{job_id}")
            await pause(self._ending, PAUSE)

    async def _look(self, path: str) -> None:
        before = self._observations.latest(path)
        try:
            async with self._session.get(path) as response:
                answer = await answer_of(response)
        except (aiohttp.ClientError, TimeoutError):
            return
        self.reads += 1
        if fault := fault_of(f"GET {path}", answer):
            self.wrong.append(fault)
        elif answer.status == 200:
            self._observations.saw(path, before, answer.json)
        elif answer.status == 404:
            deleting = path.rpartition("/")[2] in self._load.deleting
            self._observations.missed(path, may_be_gone=deleting)
        elif answer.status != 503:
            self.wrong.append(broken("answer-is-wrong", f"GET {path}", answer.status))


def _chosen(chance: random.Random, created: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """Mostly one of the newest: those still change."""
    newest = created[-8:] if chance.random() < 0.8 else created
    return chance.choice(newest)
