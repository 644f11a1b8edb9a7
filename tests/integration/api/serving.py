"""An api in the test process: the real application and server, on a free port of loopback."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from schemas.ids import UlidSource
from services.api.authentication import ApiKeys
from services.api.calls import Api
from services.api.changes import POLL_INTERVAL, Changes
from services.api.feed_cursor import FeedCursors
from services.api.jobs_at_once import JobsAtOnce
from services.api.load_limit import LoadBounds, LoadLimit, LoadLimits
from services.api.pacing import Pacing
from services.api.pagination import Paginator
from services.api.rate_limits import RateLimits
from services.api.readers import BoundConnection, Readers
from services.api.records import MediaUrls
from services.api.revocations import Revocations
from services.api.server import serve_api
from services.core.clock import Clock, system_clock
from services.core.domain.aggregates import AnyCommand
from services.core.eventlog.group_commit import GroupCommit
from services.core.eventlog.outbox_bound import OutboxBound
from services.core.eventlog.topics import TopicNames
from services.core.postgres import Pool, open_pool
from services.core.storage.store import ObjectStore, open_object_store
from tests.integration.eventlog.conftest import requested, started_group_commit

HOST = "127.0.0.1"
MEDIA_KEY = b"media signing key of the tests, 32+"
CURSOR_KEY = b"cursor signing key of the tests"
MEDIA_LIFETIME = 3600
NAMES = TopicNames()


@dataclass(frozen=True)
class Service:
    """A running api; `append` reaches the domain as the renderer would."""

    port: int
    pool: Pool
    group_commit: GroupCommit
    store: ObjectStore
    changes: Changes
    outbox_bound: OutboxBound

    @property
    def base_url(self) -> str:
        return f"http://{HOST}:{self.port}"

    async def append(self, *commands: AnyCommand) -> None:
        for command in commands:
            await self.group_commit.append(requested(command))


@asynccontextmanager
async def serving(
    database_url: str,
    *,
    store: ObjectStore | None = None,
    clock: Clock = system_clock,
    body_timeout: float = 10.0,
    hold_timeout: float = 5.0,
    rate_limits: RateLimits | None = None,
    topics: TopicNames = NAMES,
    streams: int = 100,
    poll_interval: float = POLL_INTERVAL,
    outbox_limit: int = 1_000_000,
    walled: bool = False,
    load: LoadLimits | None = None,
) -> AsyncIterator[Service]:
    async with AsyncExitStack() as stack:
        pool = await open_pool(database_url, size=10, application="test-api")
        stack.callback(pool.terminate)
        changes = Changes(pool, database_url, poll_interval=poll_interval)
        keys = ApiKeys(pool, clock)
        revocations = Revocations(pool, keys)
        for part in (changes.run(), revocations.run()):
            stack.push_async_callback(_ended, asyncio.create_task(part))
        group_commit = await started_group_commit(pool, after_commit=changes.appended)
        stack.push_async_callback(group_commit.stop)
        readers = await _readers(stack, database_url, pool, walled)
        store = store or open_object_store("memory://")
        outbox_bound = OutboxBound(pool, outbox_limit)
        api = Api(
            pool=pool,
            readers=readers,
            group_commit=group_commit,
            keys=keys,
            revocations=revocations,
            load=load or load_limits(),
            pacing=Pacing(),
            clock=clock,
            ids=UlidSource(),
            urls=MediaUrls("", MEDIA_KEY, MEDIA_LIFETIME, clock),
            media_signing_key=MEDIA_KEY,
            paginator=Paginator(CURSOR_KEY),
            feed_cursors=FeedCursors(CURSOR_KEY, topics.events),
            store=store,
            rate_limits=rate_limits or RateLimits(time.monotonic),
            jobs_at_once=JobsAtOnce(pool),
            outbox_bound=outbox_bound,
            changes=changes,
            feed_streams=asyncio.Semaphore(streams),
            body_timeout=body_timeout,
            hold_timeout=hold_timeout,
        )
        port = await serve_api(stack, api, HOST, 0)
        yield Service(port, pool, group_commit, store, changes, outbox_bound)


async def _readers(stack: AsyncExitStack, database_url: str, pool: Pool, walled: bool) -> Readers:
    if not walled:
        return Readers(pool)
    opened = await open_pool(
        database_url,
        size=10,
        application="test-api-reader",
        role="influencer_reader",
        connection_class=BoundConnection,
    )
    stack.callback(opened.terminate)
    return Readers(opened, is_walled=True)


def load_limits(reads: int = 16, writes: int = 40, patience: float = 5.0) -> LoadLimits:
    """Patient ones: a test machine is slow."""
    return LoadLimits(
        LoadLimit("read", LoadBounds(reads, patience=patience)),
        LoadLimit("write", LoadBounds(writes, patience=patience)),
    )


async def _ended(running: asyncio.Task[None]) -> None:
    running.cancel()
    await asyncio.wait([running])
