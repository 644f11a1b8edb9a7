"""A client that is given up while it stops leaves no connection open."""

import asyncio

import pytest
from aiokafka import AIOKafkaProducer

from deploy.local.stack import Stack
from services.core.eventlog.read import committed_consumer, stop_client


async def test_a_client_that_hangs_while_it_stops_is_let_go(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = committed_consumer(stack.bootstrap_servers)
    await consumer.start()
    await consumer.topics()
    connections = list(consumer._client._conns.values())
    assert connections

    async def hang() -> None:
        await asyncio.Event().wait()

    with monkeypatch.context() as patched:
        patched.setattr(consumer._fetcher, "close", hang)
        await stop_client(consumer, 0.1)

    assert not any(connection.connected() for connection in connections)
    await consumer._fetcher.close()
    await consumer._client.close()


async def test_a_producer_that_hangs_while_it_stops_does_nothing_any_more(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=stack.bootstrap_servers, linger_ms=60_000)
    await producer.start()
    await producer.client.fetch_all_metadata()
    connections = list(producer.client._conns.values())
    at_work = [producer._sender.sender_task, producer.client._sync_task]
    assert connections

    async def hang() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(producer._message_accumulator, "close", hang)
    await stop_client(producer, 0.1)

    assert not any(connection.connected() for connection in connections)
    assert all(task.done() for task in at_work)
