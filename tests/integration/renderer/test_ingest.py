"""From the log to the queue, in the test's own process."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import uuid4

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.types import TP

from deploy.local.stack import Stack
from schemas.events import Event, InfluencerCreateRequested, headers_of, value_of
from schemas.ids import Prefix, UlidSource
from schemas.profile import Profile
from services.core.clock import system_clock, timestamp
from services.core.eventlog.topics import TopicNames
from services.core.freshness import Freshness
from services.core.postgres import Pool
from services.core.service import NotReady
from services.core.work.render_queue import RenderQueue
from services.ops.connections import kafka_admin
from services.renderer import ingest as ingest_module
from services.renderer.faust_application import LogReader
from services.renderer.ingest import GROUP, Ingest
from services.renderer.ingest_watch import IngestWatch
from tests.waiting import eventually

IDS = UlidSource()
MANY = 40
"""More transactions than seconds are waited."""


@pytest.fixture
def queue(pool: Pool) -> RenderQueue:
    return RenderQueue(pool, lease=6)


@pytest.fixture
async def ingest(stack: Stack, queue: RenderQueue, topics: TopicNames) -> AsyncIterator[Ingest]:
    async with reading(queue, stack, topics) as ingest:
        await eventually("the group has us", lambda: _assigned(ingest))
        yield ingest


async def _assigned(ingest: Ingest) -> bool:
    reader = ingest.reader
    return reader is not None and reader.is_member and len(reader.partitions) == 12


@asynccontextmanager
async def producer(stack: Stack, **options: object) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=stack.bootstrap_servers, **options)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


def requested() -> Event:
    return Event(
        id=IDS.new(Prefix.EVENT),
        source="/services/api",
        subject=IDS.new(Prefix.INFLUENCER),
        time=timestamp(system_clock()),
        sequence=1,
        organization_id=str(uuid4()),
        project_id=str(uuid4()),
        correlation_id="job",
        causation_id="req",
        traceparent="",
        data=InfluencerCreateRequested(
            job_id=IDS.new(Prefix.JOB),
            job_kind="influencer_create",
            profile=Profile(name="Ava"),
            views=("portrait",),
        ),
    )


async def send(producer: AIOKafkaProducer, topics: TopicNames, event: Event) -> None:
    headers = [(name, text.encode()) for name, text in headers_of(event).items()]
    await producer.send_and_wait(
        topics.influencer, value_of(event), event.key.encode(), headers=headers
    )


async def queued(queue: RenderQueue, count: int) -> None:
    async def enough() -> bool:
        return (await queue.depth())["queued"] == count

    await eventually(f"{count} entries", enough)


async def test_only_what_is_committed_is_read(
    ingest: Ingest, queue: RenderQueue, stack: Stack, topics: TopicNames
) -> None:
    assert ingest.reader is not None
    assert ingest.reader.isolation_level == "read_committed"
    event = requested()
    async with producer(stack, transactional_id=f"test-{uuid4().hex}") as transactional:
        await transactional.begin_transaction()
        await send(transactional, topics, event)
        await transactional.abort_transaction()
        await transactional.begin_transaction()
        committed = requested()
        # On the same partition, so that what was aborted would have been seen before it.
        partition = transactional._partition(
            topics.influencer, None, None, None, event.key.encode(), event.key.encode()
        )
        headers = [(name, text.encode()) for name, text in headers_of(committed).items()]
        await transactional.send_and_wait(
            topics.influencer, value_of(committed), partition=partition, headers=headers
        )
        await transactional.commit_transaction()
    await queued(queue, 1)
    (entry,) = await queue.take(5)
    assert entry.task.influencer_id == committed.subject


async def test_offsets_follow_over_the_markers_of_transactions(
    ingest: Ingest, queue: RenderQueue, stack: Stack, topics: TopicNames
) -> None:
    """One event, one transaction: between any two records there is one that nobody reads."""
    event = requested()
    async with producer(stack, transactional_id=f"test-{uuid4().hex}") as transactional:
        for _ in range(MANY):
            await in_transaction(transactional, topics, event)
    await queued(queue, 1)
    await committed(stack, topics, 2 * MANY - 1)


async def test_offsets_follow_over_an_aborted_transaction_behind_the_first_record(
    ingest: Ingest, queue: RenderQueue, stack: Stack, topics: TopicNames
) -> None:
    event = requested()
    async with producer(stack, transactional_id=f"test-{uuid4().hex}") as transactional:
        await in_transaction(transactional, topics, event)
        await committed(stack, topics, 1)
        await transactional.begin_transaction()
        await send(transactional, topics, event)
        await transactional.abort_transaction()
        await in_transaction(transactional, topics, event)
    await committed(stack, topics, 5)


async def test_an_offset_whose_commit_failed_is_committed_later(
    ingest: Ingest,
    queue: RenderQueue,
    stack: Stack,
    topics: TopicNames,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused = asyncio.Event()
    commit = AIOKafkaConsumerThread.commit

    async def refuse_once(thread: AIOKafkaConsumerThread, offsets: Mapping[TP, int]) -> bool:
        if refused.is_set():
            return bool(await commit(thread, offsets))
        refused.set()
        return False

    monkeypatch.setattr(AIOKafkaConsumerThread, "commit", refuse_once)
    async with producer(stack) as plain:
        await send(plain, topics, requested())
    await asyncio.wait_for(refused.wait(), 10)
    await committed(stack, topics, 1)


async def in_transaction(producer: AIOKafkaProducer, topics: TopicNames, event: Event) -> None:
    await producer.begin_transaction()
    await send(producer, topics, event)
    await producer.commit_transaction()


async def committed(stack: Stack, topics: TopicNames, offset: int) -> None:
    async def reached() -> bool:
        async with kafka_admin(stack.bootstrap_servers) as admin:
            offsets = await admin.list_consumer_group_offsets(topics.named(GROUP))
        return max((each.offset for each in offsets.values()), default=0) >= offset

    await eventually("the group's offset is behind the last event", reached, within=6)


async def test_an_event_told_twice_is_queued_once(
    ingest: Ingest, queue: RenderQueue, stack: Stack, topics: TopicNames
) -> None:
    event, last = requested(), requested()
    async with producer(stack) as plain:
        await send(plain, topics, event)
        await send(plain, topics, event)
        await queued(queue, 1)
        await send(plain, topics, last)
    await queued(queue, 2)


async def test_what_cant_be_read_is_passed_over(
    ingest: Ingest, queue: RenderQueue, stack: Stack, topics: TopicNames
) -> None:
    event = requested()
    key = event.key.encode()
    create = [(name, text.encode()) for name, text in headers_of(event).items()]
    async with producer(stack) as plain:
        await plain.send_and_wait(topics.influencer, b"not json", key, headers=create)
        await plain.send_and_wait(topics.influencer, None, key, headers=create)
        await plain.send_and_wait(topics.influencer, b"", key)
        await plain.send_and_wait(topics.influencer, b"{}", key, headers=[("ce_type", b"\xff")])
        await send(plain, topics, event)
    await queued(queue, 1)


async def test_a_new_reader_goes_on_where_the_last_one_was(
    queue: RenderQueue, stack: Stack, topics: TopicNames
) -> None:
    first = requested()
    second = replace(requested(), subject=first.subject, organization_id=first.organization_id)
    async with producer(stack) as plain:
        for event in (first, second):
            await send(plain, topics, event)
            async with reading(queue, stack, topics):
                await queued(queue, 1)
            (entry,) = await queue.take(5)
            assert entry.task.causation_id == event.id
            await queue.finish(entry)


async def test_an_ingest_that_waits_for_postgres_is_lagging_then_stuck_and_goes_on(
    queue: RenderQueue, stack: Stack, topics: TopicNames, database_url: str
) -> None:
    async with reading(queue, stack, topics, stuck_after=3.0) as ingest:
        await judged(ingest, "fresh")
        reader = ingest.reader
        connection = await asyncpg.connect(database_url)
        async with connection.transaction(), producer(stack) as plain:
            await connection.execute("lock table render_queue.pgqueuer in access exclusive mode")
            await send(plain, topics, requested())
            await judged(ingest, "lagging")
            await ingest.check_freshness()
            await judged(ingest, "stuck")
            assert ingest.freshness.events == 1
            with pytest.raises(NotReady, match="stuck: 1 events"):
                await ingest.check_freshness()
        await connection.close()
        await queued(queue, 1)
        await judged(ingest, "fresh")
        assert ingest.reader is reader


async def test_a_reader_that_gets_no_records_is_replaced(
    queue: RenderQueue, stack: Stack, topics: TopicNames, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker can't be made to starve Faust here, so the watch is told that it does."""
    stuck = Freshness("stuck", 1, 9.0, 9.0, ("t/0",))

    async def measure(*_: object) -> Freshness:
        return stuck

    async with reading(queue, stack, topics, stuck_after=0.5) as ingest:
        await eventually("the group has us", lambda: _assigned(ingest))
        starved = ingest.reader
        monkeypatch.setattr(IngestWatch, "measure", measure)

        async def replaced() -> bool:
            return ingest.reader is not starved

        await eventually("another reader", replaced)
        monkeypatch.undo()
        await judged(ingest, "fresh")


async def test_a_reader_that_never_gets_into_the_group_is_replaced(
    queue: RenderQueue, stack: Stack, topics: TopicNames, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = list[LogReader]()

    def is_member(reader: LogReader) -> bool:
        outside[:] = outside or [reader]
        return reader is not outside[0] and bool(is_really.__get__(reader))

    is_really = vars(LogReader)["is_member"]
    monkeypatch.setattr(LogReader, "is_member", property(is_member))
    monkeypatch.setattr(ingest_module, "JOIN_TIMEOUT", 4.0)
    async with reading(queue, stack, topics) as ingest, producer(stack) as plain:
        await send(plain, topics, requested())
        await eventually("another reader is in the group", lambda: _assigned(ingest))
        assert ingest.reader is not outside[0]
        await queued(queue, 1)


@pytest.mark.parametrize("way", ["raises", "hangs"])
async def test_a_consumer_that_does_not_stop_leaves_no_connection_open(
    queue: RenderQueue, stack: Stack, topics: TopicNames, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    async def stop(stopped: AIOKafkaConsumer) -> None:
        stopped._closed = True  # as the real one begins
        if way == "raises":
            raise KafkaError("no")
        await asyncio.Event().wait()

    async with reading(queue, stack, topics) as ingest:
        await eventually("the group has us", lambda: _assigned(ingest))
        assert ingest.reader
        consumer = ingest.reader._kafka_consumer
        assert consumer
        connections = list(consumer._client._conns.values())
        assert any(connection.connected() for connection in connections)
        monkeypatch.setattr(AIOKafkaConsumer, "stop", stop)
    assert not any(connection.connected() for connection in connections)


async def judged(ingest: Ingest, state: str) -> None:
    async def is_so() -> bool:
        return ingest.freshness.state == state

    await eventually(state, is_so, 30)


@asynccontextmanager
async def reading(
    queue: RenderQueue, stack: Stack, topics: TopicNames, stuck_after: float = 30.0
) -> AsyncIterator[Ingest]:
    ingest = Ingest(queue, stack.bootstrap_servers, topics, "test-0", stuck_after=stuck_after)
    running = asyncio.create_task(ingest.run())
    try:
        yield ingest
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
