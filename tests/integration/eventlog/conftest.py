"""An append that is ready for use, and the commands that most tests start from."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from uuid import uuid4

import pytest

from deploy.local.stack import Stack
from schemas.events import Event
from schemas.ids import Prefix, UlidSource
from schemas.profile import Profile
from services.core.clock import system_clock
from services.core.domain.aggregates import AnyCommand
from services.core.domain.commands import CreateInfluencer
from services.core.eventlog.group_commit import GroupCommit
from services.core.eventlog.relay import ShardRelay
from services.core.eventlog.requests import Appended, AppendRequest, IdempotencyClaim, Respond
from services.core.eventlog.topics import TopicNames
from services.core.postgres import Pool
from tests.reading import by_key
from tests.waiting import eventually

IDS = UlidSource()


@dataclass(frozen=True)
class Tenant:
    organization_id: str
    project_id: str

    def create(self, influencer_id: str | None = None, name: str = "Ava") -> CreateInfluencer:
        return CreateInfluencer(
            organization_id=self.organization_id,
            influencer_id=influencer_id or IDS.new(Prefix.INFLUENCER),
            project_id=self.project_id,
            job_id=IDS.new(Prefix.JOB),
            profile=Profile(name=name),
        )


def requested(
    command: AnyCommand,
    claim: IdempotencyClaim | None = None,
    respond: Respond | None = None,
    *,
    is_fresh: bool = False,
    jobs_at_most: int | None = None,
) -> AppendRequest:
    request_id = IDS.new(Prefix.REQUEST)
    return AppendRequest(
        command=command,
        source="/services/api",
        request_id=request_id,
        causation_id=request_id,
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        idempotency=claim,
        respond=respond,
        is_fresh=is_fresh,
        jobs_at_most=jobs_at_most,
    )


def new_tenant() -> Tenant:
    return Tenant(str(uuid4()), str(uuid4()))


@pytest.fixture
def tenant() -> Tenant:
    return new_tenant()


@pytest.fixture
async def group_commit(pool: Pool) -> AsyncIterator[GroupCommit]:
    started = await started_group_commit(pool)
    yield started
    await started.stop()


async def started_group_commit(
    pool: Pool,
    *,
    write_read_models: bool = True,
    after_commit: Callable[[], None] = lambda: None,
) -> GroupCommit:
    group_commit = GroupCommit(
        pool,
        clock=system_clock,
        ids=IDS,
        write_read_models=write_read_models,
        after_commit=after_commit,
    )
    await group_commit.start()
    return group_commit


@asynccontextmanager
async def running(relay: ShardRelay) -> AsyncIterator[None]:
    task = asyncio.create_task(relay.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@dataclass(frozen=True)
class Chain:
    """All that stands between a command and a subscriber."""

    stack: Stack
    database_url: str
    topics: TopicNames
    pool: Pool
    group_commit: GroupCommit
    tenant: Tenant

    async def append(self) -> list[Event]:
        """The events of one more influencer."""
        outcome = await self.group_commit.append(requested(self.tenant.create()))
        assert isinstance(outcome, Appended)
        return list(outcome.events)

    async def relay_process(self, **environment: str) -> asyncio.subprocess.Process:
        """A relay to be killed or stopped; it says on its standard output what it does."""
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.integration.eventlog.relay_process",
            self.database_url,
            self.stack.bootstrap_servers,
            self.topics.prefix,
            env={**os.environ, **environment},
            stdout=asyncio.subprocess.PIPE,
        )

    def relay(self, shard: int = 0, shard_count: int = 1) -> ShardRelay:
        servers = self.stack.bootstrap_servers
        return ShardRelay(self.database_url, servers, self.topics, shard, shard_count)

    async def until_published(self, within: float = 20.0) -> None:
        await eventually("the outbox empties", lambda: outbox_is_empty(self.pool), within=within)


@pytest.fixture
def chain(
    stack: Stack,
    database_url: str,
    topics: TopicNames,
    pool: Pool,
    group_commit: GroupCommit,
    tenant: Tenant,
) -> Chain:
    return Chain(stack, database_url, topics, pool, group_commit, tenant)


async def outbox_is_empty(pool: Pool) -> bool:
    return not await pool.fetchval("select exists (select from event_log.outbox)")


def assert_gap_free(events: list[Event]) -> None:
    for key, stream in by_key(events).items():
        assert [event.sequence for event in stream] == list(range(1, len(stream) + 1)), key
