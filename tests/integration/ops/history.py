"""A small history made by the service's own parts: append, relay and projector."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import OffsetAndMetadata

from schemas.events import Event
from schemas.images import ReferenceImage
from schemas.jobs import JobError
from services.core.domain.commands import (
    CancelJob,
    Command,
    CompleteJob,
    CreateInfluencer,
    FailJob,
    RecordImage,
    StartTraining,
    UpdateInfluencer,
)
from services.core.eventlog.group_commit import GroupCommit
from services.core.eventlog.read import committed_consumer, partitions_of
from services.core.eventlog.relay import ShardRelay
from services.core.notifications import READ_MODEL_CHANNEL, Notifier
from services.core.postgres import Pool, open_pool
from services.ops.lag import RENDERER_GROUP
from services.projector.projector import Projector
from tests.integration.eventlog.conftest import Tenant, requested, started_group_commit
from tests.integration.ops.installation import Installation
from tests.unit.samples import rendered
from tests.waiting import eventually

KEY_ID = "key_01HXZ9G7KMV2QX8Y1S5RJW3B7T"
GAVE_UP = JobError(code="RENDER_BACKEND_ERROR", message="The backend gave up.", retryable=True)


@dataclass
class History:
    """Every event, and three of the streams by what became of them."""

    completed: CreateInfluencer
    canceled: CreateInfluencer
    failed: CreateInfluencer
    events: list[Event] = field(default_factory=list)

    def of(self, command: Command) -> list[Event]:
        return [event for event in self.events if event.subject == command.influencer_id]


async def write_history(group_commit: GroupCommit, tenant: Tenant) -> History:
    """Three influencers are made, one is renamed; one is canceled, one fails."""
    history = History(
        completed=tenant.create(name="Ava"),
        canceled=tenant.create(name="Bo"),
        failed=tenant.create(name="Cleo"),
    )
    for create, later in (
        (history.completed, completing),
        (history.canceled, canceling),
        (history.failed, failing),
        (tenant.create(name="Dee"), completing),
        (tenant.create(name="Eli"), completing),
    ):
        for command in (create, *later(create)):
            outcome = await group_commit.append(requested(command))
            history.events += outcome.events  # type: ignore[union-attr]
    return history


def completing(create: CreateInfluencer) -> Iterator[Command]:
    stream = create.organization_id, create.influencer_id
    yield StartTraining(*stream, create.job_id, "drawing")
    for index, image in enumerate(images_of(create)):
        yield RecordImage(*stream, create.job_id, index, image)
    yield CompleteJob(*stream, create.job_id)
    yield UpdateInfluencer(*stream, {"vibe": "calm"})


def canceling(create: CreateInfluencer) -> Iterator[Command]:
    stream = create.organization_id, create.influencer_id
    yield StartTraining(*stream, create.job_id, "drawing")
    yield RecordImage(*stream, create.job_id, 0, images_of(create)[0])
    yield CancelJob(*stream, create.job_id, KEY_ID)


def failing(create: CreateInfluencer) -> Iterator[Command]:
    stream = create.organization_id, create.influencer_id
    yield StartTraining(*stream, create.job_id, "drawing")
    yield FailJob(*stream, create.job_id, GAVE_UP)


def images_of(create: CreateInfluencer) -> Sequence[ReferenceImage]:
    return [
        rendered(number, view).model_copy(update={"asset_id": f"ast_{create.job_id[4:-1]}{number}"})
        for number, view in enumerate(create.views)
    ]


async def make_history(installation: Installation, *, projected: bool = True) -> History:
    """Writes it and brings it to the log, and unless told otherwise into the read models."""
    pool = await open_pool(installation.database_url, size=5, application="test")
    try:
        group_commit = await started_group_commit(pool)
        history = await write_history(
            group_commit,
            Tenant("0b9d3f5e-6a51-4c9e-8a1f-3f1f6f1f0a01", "5c1c8a52-2f5e-4e0b-9d75-0d2f3c4b5a02"),
        )
        await group_commit.stop()
        async with relaying(installation):
            await eventually("the outbox empties", lambda: _outbox_is_empty(pool))
        if projected:
            async with projecting(installation, pool):
                await eventually("all is projected", lambda: _is_projected(pool, history))
    finally:
        await pool.close()
    return history


async def commit_as_renderer(
    installation: Installation, behind: int = 0, group: str = RENDERER_GROUP
) -> None:
    """Commits what a renderer that has read all but the first `behind` partitions would."""
    consumer: AIOKafkaConsumer = committed_consumer(
        installation.bootstrap_servers, group_id=installation.topics.named(group)
    )
    await consumer.start()
    try:
        partitions = await partitions_of(consumer, installation.topics.influencer)
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        read = {p: OffsetAndMetadata(ends[p], "") for p in partitions[behind:]}
        await consumer.commit(read)
    finally:
        await consumer.stop()


@asynccontextmanager
async def relaying(installation: Installation) -> AsyncIterator[None]:
    relay = ShardRelay(
        installation.database_url, installation.bootstrap_servers, installation.topics
    )
    async with background(relay.run()):
        yield


@asynccontextmanager
async def projecting(installation: Installation, pool: Pool) -> AsyncIterator[None]:
    notifier = Notifier(pool, READ_MODEL_CHANNEL)
    projector = Projector(pool, installation.bootstrap_servers, installation.topics, notifier)
    async with background(projector.run(), notifier.run()):
        yield


@asynccontextmanager
async def background(*parts: Coroutine[None, None, None]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for ending in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(ending, asyncio.CancelledError), ending


async def _outbox_is_empty(pool: Pool) -> bool:
    return not await pool.fetchval("select exists (select from event_log.outbox)")


async def _is_projected(pool: Pool, history: History) -> bool:
    rows = await pool.fetchval("select count(*) from read_model.events")
    return bool(rows == len(history.events))
