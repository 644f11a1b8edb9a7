"""Scenarios: each breaks the system in one way, again and again, from a seed."""

import asyncio
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from deploy.local.stack import Stack
from services.core.eventlog.topics import create_topics
from services.core.postgres import Pool, acquire, open_pool
from services.ops.migrations import migrate
from tests.conftest import database_named, execute
from tests.faults.arena import Arena, Conditions, LoadShape, Network, arena
from tests.faults.outbox_copy import keep_outbox_rows
from tests.faults.rules import broken
from tests.faults.verdict import Verdict
from tests.topics import new_topic_names

Break = Callable[[Arena, int], Awaitable[None]]
"""Breaks the arena's system about so many times, counting each fault with `arena.broke`, and
leaves everything as it found it: all parts running, nothing paused, nothing cut."""


@dataclass(frozen=True)
class Scenario:
    """`short` is how many faults `make test` tries, `long` how many of a thousand `make chaos`.

    `stack` makes a stack of its own below a folder, where the shared one must not be broken, or
    is not enough; `replication_factor` is that of the topics. `breaks_the_stack`: it stops Kafka
    or Postgres, which must be ours then. `network` puts proxies between the parts. `impossible`
    says why it can't be played on this machine, if so. `is_compared`: `influencerctl verify` and
    `rebuild` judge it too.
    """

    name: str
    run: Break
    short: int = 4
    long: int = 20
    shape: LoadShape = field(default_factory=LoadShape)
    environment: Mapping[str, str] = field(default_factory=dict)
    stack: Callable[[Path], AbstractContextManager[Stack]] | None = None
    replication_factor: int = 1
    breaks_the_stack: bool = False
    network: Network | None = None
    impossible: Callable[[], str | None] = lambda: None
    is_compared: bool = True


@dataclass(frozen=True)
class Played:
    scenario: str
    seed: int
    seconds: float
    verdict: Verdict


async def play(
    scenario: Scenario,
    stack: Stack,
    folder: Path,
    *,
    seed: int,
    faults: int,
    template: str | None = None,
    limit: float | None = None,
) -> Played:
    """Plays `scenario` on `stack`, in a database and topics of its own.

    `template` is a migrated database of the stack's; `limit` bounds the scenario, in seconds. A
    scenario that fails is a violation.
    """
    started = time.monotonic()
    conditions = Conditions(
        seed, scenario.shape, scenario.environment, scenario.network, scenario.is_compared
    )
    async with _own_database(stack, template) as database_url:
        topics = new_topic_names()
        await create_topics(
            stack.bootstrap_servers,
            topics,
            shard_count=1,
            replication_factor=scenario.replication_factor,
        )
        async with (
            _opened(database_url) as pool,
            arena(stack, database_url, pool, topics, folder, conditions) as place,
        ):
            place.failure = await failure_of(scenario, place, faults, limit)
    assert place.verdict is not None
    return Played(scenario.name, seed, time.monotonic() - started, place.verdict)


async def failure_of(
    scenario: Scenario, place: Arena, faults: int, limit: float | None
) -> str | None:
    try:
        async with asyncio.timeout(limit):
            await scenario.run(place, faults)
    except Exception as fault:
        told = "".join(traceback.format_exception(fault, limit=-3))
        return broken("scenario-failed", scenario.name, told)
    return None


@asynccontextmanager
async def _own_database(stack: Stack, template: str | None) -> AsyncIterator[str]:
    name = f"faults_{uuid4().hex[:12]}"
    copied = f" template {template}" if template else ""
    await execute(stack.database_url, f"create database {name}{copied}")
    database_url = database_named(stack.database_url, name)
    if not template:
        await migrate(database_url)
    yield database_url
    await execute(stack.database_url, f"drop database {name} with (force)")


@asynccontextmanager
async def _opened(database_url: str) -> AsyncIterator[Pool]:
    pool = await open_pool(database_url, size=4, application="faults")
    try:
        async with acquire(pool) as connection:
            await keep_outbox_rows(connection)
        yield pool
    finally:
        pool.terminate()


def shares(
    scenarios: Sequence[Scenario], faults: int, among: Sequence[Scenario] | None = None
) -> Iterator[tuple[Scenario, int]]:
    """How many each of `scenarios` tries when `among` all of these there are so many `faults`."""
    total = sum(scenario.long for scenario in among or scenarios)
    for scenario in scenarios:
        yield scenario, max(1, round(faults * scenario.long / total))
