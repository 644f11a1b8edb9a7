"""The content service in a process of its own; influencers are told through the domain alone.

One database, one set of topics and one relay for all tests here: each has its own organization.
"""

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
from schemas.jobs import JobError
from schemas.profile import Profile
from services.core.clock import system_clock
from services.core.domain.aggregates import AnyCommand
from services.core.domain.commands import (
    CompleteJob,
    CreateInfluencer,
    DeleteInfluencer,
    FailJob,
    RecordImage,
    RenderInfluencer,
    StartTraining,
)
from services.core.domain.content import CancelContent, ContentStream, RequestContent
from services.core.eventlog.append import find_state
from services.core.eventlog.group_commit import GroupCommit
from services.core.eventlog.relay import ShardRelay
from services.core.eventlog.requests import Appended, AppendRequest
from services.core.eventlog.topics import TopicNames, create_topics
from services.core.postgres import Pool, acquire, open_pool
from tests.conftest import database_named, execute
from tests.integration.service_process import ServiceProcess
from tests.reading import read_events
from tests.topics import new_topic_names
from tests.unit.samples import TRACEPARENT, rendered
from tests.waiting import eventually

IDS = UlidSource()
BACKENDS = "tests.integration.renderer.backends"
BASE_URL = "http://media.test"
AVA = Profile(name="Ava Chen")
ERROR = JobError(code="RENDER_REJECTED", message="The prompt is refused.", retryable=False)


@dataclass
class Model:
    """An influencer of the test, driven as the api and the renderer would."""

    studio: "Studio"
    influencer_id: str
    job_id: str
    sequence: int = 1

    @property
    def stream(self) -> tuple[str, str]:
        return self.studio.organization_id, self.influencer_id

    async def becomes_ready(self) -> None:
        job = (*self.stream, self.job_id)
        await self._do(StartTraining(*job, backend="drawing"))
        await self._do(RecordImage(*job, 0, rendered(1, "portrait")))
        await self._do(CompleteJob(*job))

    async def fails(self) -> None:
        await self._do(FailJob(*self.stream, self.job_id, ERROR))

    async def is_deleted(self) -> None:
        await self._do(DeleteInfluencer(*self.stream, "key_x"))

    async def is_rendered_again(self) -> None:
        self.job_id = IDS.new(Prefix.JOB)
        await self._do(RenderInfluencer(*self.stream, self.job_id, ("portrait",)))

    async def _do(self, command: AnyCommand) -> None:
        self.sequence = (await self.studio.do(command)).state.sequence


@dataclass
class Studio:
    """What surrounds the service: an append, a relay, and a look at what came of it."""

    stack: Stack
    pool: Pool
    topics: TopicNames
    append: GroupCommit
    organization_id: str = field(default_factory=lambda: str(uuid4()))
    project_id: str = field(default_factory=lambda: str(uuid4()))

    async def model(
        self,
        profile: Profile = AVA,
        reference_images: tuple[ReferenceImage, ...] = (),
    ) -> Model:
        model = Model(self, IDS.new(Prefix.INFLUENCER), IDS.new(Prefix.JOB))
        await self.do(
            CreateInfluencer(
                *model.stream,
                str(uuid4()),
                model.job_id,
                profile,
                reference_images,
                views=("portrait",),
            )
        )
        return model

    async def ready_model(self) -> Model:
        model = await self.model()
        await model.becomes_ready()
        return model

    async def asks(self, model: Model, brief: str = "Weekend sale!") -> RequestContent:
        request = RequestContent(
            self.organization_id,
            IDS.new(Prefix.CONTENT),
            IDS.new(Prefix.JOB),
            self.project_id,
            model.influencer_id,
            brief,
            model.sequence,
        )
        await self.do(request)
        return request

    async def cancels(self, request: RequestContent) -> None:
        await self.do(
            CancelContent(
                request.organization_id, request.content_id, request.job_id, IDS.new(Prefix.KEY)
            )
        )

    async def do(self, command: AnyCommand) -> Appended:
        request_id = IDS.new(Prefix.REQUEST)
        outcome = await self.append.append(
            AppendRequest(command, "/services/api", request_id, request_id, TRACEPARENT)
        )
        assert isinstance(outcome, Appended)
        return outcome

    async def state(self, request: RequestContent) -> ContentStream:
        async with acquire(self.pool) as connection:
            state = await find_state(connection, request.organization_id, request.content_id)
        assert isinstance(state, ContentStream)
        return state

    async def ended(self, request: RequestContent, within: float = 30) -> str:
        """How the job ended: its status, or its error's code."""

        async def over() -> str | None:
            job = (await self.state(request)).job
            assert job is not None
            if job.is_running:
                return None
            return job.error.code if job.error else job.status

        return await eventually("the job ends", over, within)

    async def waits(self, request: RequestContent) -> None:
        """Returns once the service has taken the request in, and it waits for its influencer."""

        async def is_waiting() -> bool:
            async with acquire(self.pool) as connection:
                found = await connection.fetchval(
                    "select not is_released from content.requests where content_id = $1",
                    request.content_id,
                )
            return bool(found)

        await eventually("the request waits", is_waiting)

    async def nothing_left(self, request: RequestContent) -> None:
        """Returns once neither the queue nor the requests know of it."""

        async def is_gone() -> bool:
            async with acquire(self.pool) as connection:
                count = await connection.fetchval(
                    "select (select count(*) from content.requests where content_id = $1)"
                    " + (select count(*) from content.pgqueuer where dedupe_key = $2)",
                    request.content_id,
                    request.job_id,
                )
            return bool(count == 0)

        await eventually("nothing is left of the request", is_gone)

    async def events(self, request: RequestContent) -> list[Event]:
        """All events of the content, once all of them are on the log."""
        count = (await self.state(request)).sequence
        topic = self.topics.events[2]

        async def told() -> list[Event] | None:
            events = await read_events(self.stack.bootstrap_servers, topic, 0)
            ours = [event for event in events if event.subject == request.content_id]
            return ours if len(ours) >= count else None

        return await eventually(f"{count} events", told)


@dataclass
class Services:
    """Makes processes of the service; all of them are gone when the test is over."""

    environment: Mapping[str, str]
    folder: Path
    started: list[ServiceProcess] = field(default_factory=list)

    async def start(self, backend: str = "TinyBackend", **extra: str) -> ServiceProcess:
        service = self._new(backend, extra)
        await service.start()
        return service

    async def start_to_end(self, backend: str = "TinyBackend", **extra: str) -> int:
        """The exit status of one that ends by itself."""
        service = self._new(backend, extra)
        await service.spawn()
        return await service.ended()

    def _new(self, backend: str, extra: Mapping[str, str]) -> ServiceProcess:
        environment = {
            **self.environment,
            "RENDERER_BACKEND": backend if backend == "drawing" else f"{BACKENDS}:{backend}",
            "CONTENT_OPERATIONS_PORT": str(any_free_port()),
            **extra,
        }
        log = self.folder / f"content-{len(self.started)}.log"
        service = ServiceProcess("content", environment, log)
        self.started.append(service)
        return service


@dataclass(frozen=True)
class Surroundings:
    database_url: str
    pool: Pool
    topics: TopicNames
    append: GroupCommit


@pytest.fixture(scope="session")
async def surroundings(stack: Stack, template_database: str) -> AsyncIterator[Surroundings]:
    name = f"content_{uuid4().hex}"
    await execute(stack.database_url, f"create database {name} template {template_database}")
    database_url = database_named(stack.database_url, name)
    topics = new_topic_names()
    await create_topics(stack.bootstrap_servers, topics, shard_count=1, replication_factor=1)
    relay = ShardRelay(database_url, stack.bootstrap_servers, topics)
    async with AsyncExitStack() as running:
        pool = await open_pool(database_url, size=5, application="test-content")
        running.callback(pool.terminate)
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
        yield Surroundings(database_url, pool, topics, append)
        relaying.cancel()
        await asyncio.gather(relaying, return_exceptions=True)
    await execute(stack.database_url, f"drop database {name} with (force)")


@pytest.fixture
def studio(stack: Stack, surroundings: Surroundings) -> Studio:
    return Studio(stack, surroundings.pool, surroundings.topics, surroundings.append)


@pytest.fixture(scope="session")
def store_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("content") / "media"


@pytest.fixture(scope="session")
def environment(stack: Stack, surroundings: Surroundings, store_folder: Path) -> dict[str, str]:
    return {
        "DATABASE_URL": surroundings.database_url,
        "KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": surroundings.topics.prefix,
        "MEDIA_STORE_URL": store_folder.as_uri(),
        "PUBLIC_BASE_URL": BASE_URL,
        "CONTENT_INSTANCE": "content-0",
        "CONTENT_LEASE": "1",
        "CONTENT_RETRY_DELAY": "0.05",
        "CONTENT_POLL_INTERVAL": "0.2",
    }


@pytest.fixture
async def services(environment: dict[str, str], tmp_path: Path) -> AsyncIterator[Services]:
    services = Services(environment, tmp_path)
    yield services
    for service in services.started:
        await service.end(signal.SIGKILL)
