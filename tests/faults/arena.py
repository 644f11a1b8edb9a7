"""Where faults are tried: a system of processes under load, its clients, and the verdict."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.stack import Stack
from services.core.eventlog.topics import TopicNames
from services.core.postgres import Pool
from tests.faults.chance import chance_for
from tests.faults.feed_readers import FeedReaders
from tests.faults.forked import ForkedProcess
from tests.faults.journal import Journal
from tests.faults.load import Load
from tests.faults.pollers import Pollers
from tests.faults.proxy import Proxy
from tests.faults.settling import JOBS_END_WITHIN, SETTLES_WITHIN, Settling
from tests.faults.system import System, build_system
from tests.faults.verdict import Verdict, checked, compared, event_ids
from tests.waiting import eventually

Network = Callable[[System, Stack], AbstractAsyncContextManager[Mapping[str, Proxy]]]
"""Puts proxies between the parts of a system that isn't started; each by what it is between."""


@dataclass(frozen=True)
class LoadShape:
    """`clients` in closed loops, `pause` seconds between two influencers of each.

    Seconds after the last fault: `settles_within` nothing waits, `jobs_end_within` no job runs.
    """

    clients: int = 4
    pause: float = 0.3
    pollers: int = 2
    jobs_end_within: float = JOBS_END_WITHIN
    settles_within: float = SETTLES_WITHIN


@dataclass(frozen=True)
class Conditions:
    """`is_compared`: by `influencerctl verify` and `rebuild` too, at the end."""

    seed: int
    shape: LoadShape
    environment: Mapping[str, str] = field(default_factory=dict)
    network: Network | None = None
    is_compared: bool = True


@dataclass
class Arena:
    """What a scenario breaks. It counts each fault with `broke`.

    `failure` is how the scenario itself ended, if it did not come to its end. `verdict` is there
    when all is over.
    """

    stack: Stack
    system: System
    pool: Pool
    journal: Journal
    load: Load
    seed: int
    folder: Path
    network: Mapping[str, Proxy] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)
    failure: str | None = None
    verdict: Verdict | None = None

    def __post_init__(self) -> None:
        self.chance = self.chance_of("the scenario")

    def chance_of(self, part: str) -> random.Random:
        """For each of the parts of a scenario that run at once: they would disturb each other."""
        return chance_for(self.seed, part)

    def broke(self, what: str) -> None:
        self.faults[what] += 1

    async def a_moment(self, seconds: float, chance: random.Random | None = None) -> None:
        """Up to `seconds`, by chance: faults are to meet the system anywhere."""
        await for_a_while((chance or self.chance).random() * seconds)

    async def until_accepted(self, count: int) -> None:
        wanted = self.journal.jobs + count

        async def reached() -> bool:
            return self.journal.jobs >= wanted

        await eventually(f"{count} more jobs are accepted", reached, within=60)


@asynccontextmanager
async def arena(
    stack: Stack,
    database_url: str,
    pool: Pool,
    topics: TopicNames,
    folder: Path,
    conditions: Conditions,
) -> AsyncIterator[Arena]:
    """A system under load, which is judged when the block ends."""
    seed, shape, network = conditions.seed, conditions.shape, conditions.network
    system = await build_system(
        stack,
        database_url,
        pool,
        topics,
        folder,
        backend="tests.faults.backends:tiny",
        environment=conditions.environment,
        process=ForkedProcess,
    )
    journal = Journal(folder / "journal.jsonl")
    async with AsyncExitStack() as running:
        running.callback(journal.close)
        proxies = await running.enter_async_context(network(system, stack)) if network else {}
        running.callback(system.kill)
        await system.start()
        load = Load(system, journal, clients=shape.clients, pause=shape.pause, seed=seed)
        pollers = Pollers(system, load, count=shape.pollers, seed=seed)
        place = Arena(stack, system, pool, journal, load, seed, folder, proxies)
        async with FeedReaders(system) as feed, pollers, load:
            yield place
            found = await _found(place, feed, conditions)
        violations = found + load.wrong + pollers.wrong + feed.wrong
        place.verdict = Verdict(
            faults=place.faults,
            asked=journal.asked,
            accepted=journal.accepted,
            unanswered=journal.unanswered,
            reads=pollers.reads,
            violations=violations,
        )


async def _found(place: Arena, feed: FeedReaders, conditions: Conditions) -> list[str]:
    """What is wrong after the last fault. Pollers and readers of the feed go on meanwhile."""
    faults_ended = asyncio.get_running_loop().time()
    await place.load.end()
    if place.failure:  # what it left broken is still broken
        return [place.failure]
    stack, system, pool, shape = place.stack, place.system, place.pool, conditions.shape
    unsettled = await Settling(
        stack,
        system,
        pool,
        faults_ended=faults_ended,
        settles_within=shape.settles_within,
        jobs_end_within=shape.jobs_end_within,
    ).violations()
    (found, log), differences = await asyncio.gather(
        checked(stack, system, pool, place.journal),
        compared(stack, system) if conditions.is_compared else asyncio.sleep(0, []),
    )
    await feed.until_complete(event_ids(log), within=shape.settles_within)
    return unsettled + found + differences


async def for_a_while(seconds: float) -> None:
    """Time that passes is what a fault of some length is."""
    try:
        async with asyncio.timeout(seconds):
            await asyncio.Event().wait()
    except TimeoutError:
        return
