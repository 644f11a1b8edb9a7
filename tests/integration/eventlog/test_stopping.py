"""A client that is given up while it stops leaves nothing behind: no connection and no task."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.conn import AIOKafkaConnection

from deploy.local.stack import Stack
from services.core.eventlog.read import committed_consumer, stop_client
from services.core.eventlog.topics import TopicNames
from services.core.subscriber import kafka as subscriber
from tests.waiting import eventually

SECONDS = 0.1


async def hang() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("part", ["_coordinator", "_fetcher"])
@pytest.mark.parametrize("stop", [partial(stop_client, seconds=SECONDS), subscriber.stop_consumer])
async def test_a_consumer_that_hangs_while_it_stops_leaves_nothing(
    stack: Stack,
    topics: TopicNames,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    stop: Callable[[AIOKafkaConsumer], Awaitable[None]],
) -> None:
    monkeypatch.setattr(subscriber, "STOP_TIMEOUT", SECONDS)
    before = asyncio.all_tasks()
    consumer = committed_consumer(stack.bootstrap_servers, group_id=uuid4().hex)
    consumer.subscribe(topics.events)
    await consumer.start()
    await consumer.getmany(timeout_ms=10)
    connections = list(consumer._client._conns.values())
    assert len(asyncio.all_tasks() - before) > len(connections) > 1
    monkeypatch.setattr(getattr(consumer, part), "close", hang)

    await stop(consumer)

    await nothing_is_left(before, connections)


async def test_a_producer_that_hangs_while_it_stops_leaves_nothing(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = asyncio.all_tasks()
    producer = AIOKafkaProducer(bootstrap_servers=stack.bootstrap_servers, linger_ms=60_000)
    await producer.start()
    await producer.client.fetch_all_metadata()
    connections = list(producer.client._conns.values())
    assert len(asyncio.all_tasks() - before) > len(connections) > 0
    monkeypatch.setattr(producer._message_accumulator, "flush", hang)

    await stop_client(producer, SECONDS)

    await nothing_is_left(before, connections)


async def nothing_is_left(
    before: set[asyncio.Task[object]], connections: list[AIOKafkaConnection]
) -> None:
    async def is_quiet() -> bool:
        return asyncio.all_tasks() <= before and not any(c.connected() for c in connections)

    await eventually("no task and no connection", is_quiet, within=2)
