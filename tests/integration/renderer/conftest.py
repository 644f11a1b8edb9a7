"""A renderer in a process of its own, and the rest of the chain in the test's."""

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest

from deploy.local.ports import any_free_port
from deploy.local.stack import Stack
from schemas.events import Event
from schemas.ids import Prefix, UlidSource
from schemas.images import ReferenceImage
from schemas.profile import Profile
from services.core.clock import system_clock
from services.core.domain.commands import CancelJob, Command, CreateInfluencer
from services.core.domain.state import InfluencerStream
from services.core.eventlog.append import find_stream
from services.core.eventlog.group_commit import GroupCommit
from services.core.eventlog.relay import ShardRelay
from services.core.eventlog.requests import Appended, AppendRequest
from services.core.eventlog.topics import TopicNames
from services.core.postgres import Pool, acquire
from tests.integration.service_process import ServiceProcess
from tests.reading import read_events
from tests.waiting import eventually

IDS = UlidSource()
BACKENDS = "tests.integration.renderer.backends"
BASE_URL = "http://media.test"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass
class Chain:
    """Everything but the renderer: an api's append, the relay, and a look at what came of it."""

    stack: Stack
    pool: Pool
    topics: TopicNames
    append: GroupCommit
    organization_id: str = field(default_factory=lambda: str(uuid4()))
    project_id: str = field(default_factory=lambda: str(uuid4()))

    async def create(
        self,
        views: tuple[str, ...] = ("a", "b", "c", "d"),
        reference_images: tuple[ReferenceImage, ...] = (),
    ) -> CreateInfluencer:
        command = CreateInfluencer(
            self.organization_id,
            IDS.new(Prefix.INFLUENCER),
            self.project_id,
            IDS.new(Prefix.JOB),
            Profile(name="Ava Chen"),
            reference_images,
            views=views,
        )
        await self.do(command)
        return command

    async def cancel(self, created: CreateInfluencer) -> None:
        await self.do(
            CancelJob(
                created.organization_id, created.influencer_id, created.job_id, IDS.new(Prefix.KEY)
            )
        )

    async def do(self, command: Command) -> Appended:
        request_id = IDS.new(Prefix.REQUEST)
        outcome = await self.append.append(
            AppendRequest(command, "/services/api", request_id, request_id, TRACEPARENT)
        )
        assert isinstance(outcome, Appended)
        return outcome

    async def state(self, created: CreateInfluencer) -> InfluencerStream:
        async with acquire(self.pool) as connection:
            state = await find_stream(connection, created.organization_id, created.influencer_id)
        assert state is not None
        return state

    async def ended(self, created: CreateInfluencer, within: float = 30) -> InfluencerStream:
        """The stream once its job has ended."""

        async def over() -> InfluencerStream | None:
            state = await self.state(created)
            return state if state.job and not state.job.is_running else None

        return await eventually("the job ends", over, within)

    async def images(self, created: CreateInfluencer, count: int) -> None:
        """Returns once the job has `count` images."""

        async def enough() -> bool:
            state = await self.state(created)
            return state.job is not None and len(state.job.images) >= count

        await eventually(f"{count} images", enough)

    async def queue_empty(self) -> None:
        async def empty() -> bool:
            async with acquire(self.pool) as connection:
                count = await connection.fetchval("select count(*) from render_queue.pgqueuer")
            return bool(count == 0)

        await eventually("the queue is empty", empty)

    async def events(self, created: CreateInfluencer) -> list[Event]:
        """All of the influencer's events, once all of them are on the log."""
        count = (await self.state(created)).sequence

        async def told() -> list[Event] | None:
            events = await read_events(self.stack.bootstrap_servers, self.topics.influencer, 0)
            ours = [event for event in events if event.subject == created.influencer_id]
            return ours if len(ours) >= count else None

        return await eventually(f"{count} events", told)


@dataclass
class Renderers:
    """Makes renderer processes; all of them are gone when the test is over."""

    environment: Mapping[str, str]
    folder: Path
    started: list[ServiceProcess] = field(default_factory=list)

    async def start(self, backend: str = "TinyBackend", **extra: str) -> ServiceProcess:
        number = len(self.started)
        environment = {
            **self.environment,
            "RENDERER_BACKEND": backend if backend == "drawing" else f"{BACKENDS}:{backend}",
            "RENDERER_OPERATIONS_PORT": str(any_free_port()),
            **extra,
        }
        renderer = ServiceProcess("renderer", environment, self.folder / f"renderer-{number}.log")
        self.started.append(renderer)
        await renderer.start()
        return renderer


@pytest.fixture
async def chain(
    stack: Stack, pool: Pool, database_url: str, topics: TopicNames
) -> AsyncIterator[Chain]:
    relay = ShardRelay(database_url, stack.bootstrap_servers, topics)
    async with AsyncExitStack() as running:
        append = GroupCommit(
            pool,
            clock=system_clock,
            ids=IDS,
            write_read_models=True,
            after_commit=relay.wake.set,
        )
        await append.start()
        running.push_async_callback(append.stop)
        relaying = asyncio.create_task(relay.run())
        yield Chain(stack, pool, topics, append)
        relaying.cancel()
        await asyncio.gather(relaying, return_exceptions=True)


@pytest.fixture
def store_folder(tmp_path: Path) -> Path:
    return tmp_path / "media"


@pytest.fixture
async def renderers(
    stack: Stack, database_url: str, topics: TopicNames, tmp_path: Path, store_folder: Path
) -> AsyncIterator[Renderers]:
    environment = {
        "DATABASE_URL": database_url,
        "KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": topics.prefix,
        "MEDIA_STORE_URL": store_folder.as_uri(),
        "PUBLIC_BASE_URL": BASE_URL,
        "RENDERER_INSTANCE_ID": "renderer-0",
        "RENDERER_LEASE": "2",
        "RENDERER_RETRY_DELAY": "0.05",
    }
    renderers = Renderers(environment, tmp_path)
    yield renderers
    for renderer in renderers.started:
        await renderer.end(signal.SIGKILL)
