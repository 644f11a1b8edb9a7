"""Health that tells the truth: fresh, lagging, stuck; and what is stuck helps itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.conn import AIOKafkaConnection
from aiokafka.protocol.metadata import MetadataRequest

from deploy.local.kafka import LocalKafka
from deploy.local.stack import Stack, cache_directory
from services.core.eventlog.gauge import NOT_BEHIND, LogGauge
from services.core.eventlog.topics import TopicNames, create_topics
from services.core.notifications import READ_MODEL_CHANNEL, Notifier
from services.core.postgres import Pool
from services.core.service import NotReady
from services.projector import projector as projector_module
from services.projector.projector import Projector
from tests.bench.histories import history, interleaved
from tests.faults.proxy import listening
from tests.integration.projector.log import Log
from tests.integration.projector.models import ReadModels
from tests.integration.projector.process import projector_process
from tests.integration.projector.starving import StarvingProxy
from tests.waiting import eventually

STUCK_AFTER = 3.0


@asynccontextmanager
async def projecting(pool: Pool, servers: str, topics: TopicNames) -> AsyncIterator[Projector]:
    notifier = Notifier(pool, READ_MODEL_CHANNEL)
    projector = Projector(pool, servers, topics, notifier, stuck_after=STUCK_AFTER)
    running = asyncio.create_task(projector.run())
    try:
        yield projector
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def comes_to_be(projector: Projector, state: str, within: float = 20) -> None:
    async def is_so() -> bool:
        return projector.status.freshness.state == state

    await eventually(state, is_so, within)


@pytest.fixture
async def starving(tmp_path: Path) -> AsyncIterator[StarvingProxy]:
    """Before a Kafka of its own."""
    async with listening(StarvingProxy(target_port=0)) as proxy:
        advertised = {"advertised.listeners": f"PLAINTEXT://127.0.0.1:{proxy.port}"}
        kafka = LocalKafka(tmp_path / "kafka", cache=cache_directory(), settings=advertised)
        proxy.target_port = kafka.port
        await asyncio.to_thread(kafka.start)
        try:
            yield proxy
        finally:
            await asyncio.to_thread(kafka.kill)


async def test_it_does_not_ask_about_the_topics_of_others(
    log: Log,
    stack: Stack,
    topics: TopicNames,
    pool: Pool,
    models: ReadModels,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A cluster may have thousands, and what is said of each has to be read."""
    asked: list[list[str] | None] = []
    send = AIOKafkaConnection.send

    def noted(connection: AIOKafkaConnection, request: Any, **options: Any) -> Any:
        if isinstance(request, MetadataRequest):
            asked.append(request._topics)
        return send(connection, request, **options)

    await log.write(history())
    monkeypatch.setattr(AIOKafkaConnection, "send", noted)
    async with projecting(pool, stack.bootstrap_servers, topics) as projector:
        await models.has_rows("events", 8)
        await comes_to_be(projector, "fresh")
        begun = len(asked)

        async def watched_again() -> bool:
            return len(asked) > begun + 1

        await eventually("it has looked again", watched_again)
    assert all(named is not None and set(named) <= set(topics.events) for named in asked)


async def test_a_consumer_that_gets_no_records_is_replaced(
    starving: StarvingProxy, pool: Pool, models: ReadModels
) -> None:
    servers, topics = f"127.0.0.1:{starving.port}", TopicNames("starving.")
    await create_topics(servers, topics, shard_count=1, replication_factor=1)
    async with Log(servers, topics) as log, projecting(pool, servers, topics) as projector:
        await log.write(history())
        await models.has_rows("events", 8)
        await comes_to_be(projector, "fresh")
        starving.starve()

        async def starves() -> bool:
            return starving.starved_fetches > 2

        await eventually("no fetch that was sent before is under way", starves)
        await log.write(history())

        await comes_to_be(projector, "stuck")
        stuck = projector.status.freshness
        assert (stuck.events, len(stuck.stuck)) == (8, 1)
        assert stuck.seconds >= STUCK_AFTER
        with pytest.raises(NotReady, match="stuck: 8 events"):
            await projector.status.check_freshness()

        await models.has_rows("events", 16)
        await comes_to_be(projector, "fresh")
        assert projector.status.terms == 2
        await projector.status.check_freshness()


async def test_a_consumer_that_never_gets_into_the_group_is_replaced(
    stack: Stack,
    topics: TopicNames,
    pool: Pool,
    models: ReadModels,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lost = list[AIOKafkaConsumer]()
    subscribe = AIOKafkaConsumer.subscribe

    def subscribe_later(consumer: AIOKafkaConsumer, *arguments: Any, **options: Any) -> None:
        if lost:
            subscribe(consumer, *arguments, **options)
        lost.append(consumer)

    monkeypatch.setattr(AIOKafkaConsumer, "subscribe", subscribe_later)
    monkeypatch.setattr(projector_module, "JOIN_TIMEOUT", 2.0)
    async with (
        Log(stack.bootstrap_servers, topics) as log,
        projecting(pool, stack.bootstrap_servers, topics) as projector,
    ):
        await log.write(history())
        await models.has_rows("events", 8)
        assert projector.status.terms == 2


async def test_who_waits_for_postgres_lags_and_keeps_its_consumer(
    stack: Stack, topics: TopicNames, database_url: str, pool: Pool, log: Log, models: ReadModels
) -> None:
    async with projecting(pool, stack.bootstrap_servers, topics) as projector:
        await log.write(history())
        await models.has_rows("events", 8)
        connection = await asyncpg.connect(database_url)
        async with connection.transaction():
            await connection.execute("select from read_model.projection_offsets for update")
            await log.write(history())
            await comes_to_be(projector, "lagging")
            await projector.status.check_freshness()
            assert projector.status.freshness.events == 8
            await comes_to_be(projector, "stuck")
            with pytest.raises(NotReady):
                await projector.status.check_freshness()
        await connection.close()
        await models.has_rows("events", 16)
        await comes_to_be(projector, "fresh")
        assert projector.status.terms == 1


async def test_markers_and_aborted_records_are_nothing_to_wait_for(
    stack: Stack, topics: TopicNames, log: Log
) -> None:
    events = list(interleaved(3, at_once=3))
    for event in events:
        await log.write([event], partition=3)
    await log.write_aborted(history())
    gauge = LogGauge(stack.bootstrap_servers, topics.events)
    try:
        here = TopicPartition(topics.influencer, 3)

        async def measured() -> tuple[int, ...]:
            begin = await gauge.behind(dict.fromkeys(await gauge.partitions(), 0))
            return tuple(behind.events for behind in begin.values() if behind.events)

        async def is_settled() -> bool:
            return await measured() == (len(events),)

        await eventually("all are counted, and nothing else", is_settled)
        last = 2 * len(events) - 1  # each has a marker behind it
        assert (await gauge.behind({here: last}))[here] == NOT_BEHIND
        one = (await gauge.behind({here: last - 1}))[here]
        assert one.events == 1
        assert one.oldest is not None
        assert (await gauge.behind({here: last}))[here] == NOT_BEHIND
    finally:
        await gauge.stop()


async def test_the_process_tells_it_all(
    stack: Stack, topics: TopicNames, database_url: str, log: Log, models: ReadModels
) -> None:
    async with projector_process(database_url, stack.bootstrap_servers, topics) as running:
        events = list(history())
        await log.write(events[:3], 3)
        await log.write_raw(events[3].key.encode(), b"{", [], 3)
        await models.has_rows("quarantine", 1)
        await models.fetch(
            "insert into control.rebuilds (kind, fingerprint, phase, offsets_done, offsets_all)"
            " values ('rebuild', 'x', 'fill', 1, 4)"
        )

        async def tells() -> bool:
            status, body = await running.get("/readyz")
            said = orjson.loads(body or "{}").get("projection", {})
            rebuilding = said.get("rebuilding") or {}
            return (
                status == 200
                and (said["state"], said["events"]) == ("fresh", 0)
                and said["quarantinedStreams"] == 1
                and (rebuilding.get("phase"), rebuilding.get("share")) == ("fill", 0.25)
                and rebuilding["interrupted"]
            )

        await eventually("the whole truth", tells)
        _, metrics = await running.get("/metrics")
        for line in (
            'projector_state{state="fresh"} 1.0',
            'projector_state{state="stuck"} 0.0',
            "projector_lag_seconds 0.0",
            "projector_streams_in_quarantine 1.0",
            "projector_rebuilding 1.0",
        ):
            assert line in metrics
        assert (await running.get("/livez"))[0] == 200
