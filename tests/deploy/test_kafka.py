from __future__ import annotations

import asyncio
import socket
import uuid

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.local.errors import PortInUseError
from deploy.local.kafka import LocalKafka
from deploy.local.kafka_metadata import serves
from deploy.local.ports import LOOPBACK

READS_WITHIN = 30.0


async def create_topic(kafka: LocalKafka) -> str:
    topic = f"kept-{uuid.uuid4()}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()
    return topic


async def send(kafka: LocalKafka, topic: str, value: bytes) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap_servers, transactional_id=f"writer-{topic}"
    )
    await producer.start()
    try:
        async with producer.transaction():
            await producer.send_and_wait(topic, value)
    finally:
        await producer.stop()


async def read_first(kafka: LocalKafka, topic: str) -> bytes:
    """The first committed record, with a client that is given one chance."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    async with asyncio.timeout(READS_WITHIN):
        await consumer.start()
        try:
            consumer.assign([TopicPartition(topic, 0)])
            value: bytes = (await consumer.getone()).value
            return value
        finally:
            await consumer.stop()


async def test_what_was_committed_survives_a_kill_and_a_restart(kafka: LocalKafka) -> None:
    kafka.start()
    topic = await create_topic(kafka)
    await send(kafka, topic, b"once")

    kafka.kill()
    assert not kafka.is_running()
    kafka.start()
    assert serves(kafka.port, kafka.node_id)
    assert await read_first(kafka, topic) == b"once"

    kafka.stop()
    kafka.start()
    assert await read_first(kafka, topic) == b"once"


async def test_a_node_serves_once_each_of_its_partitions_is_led(kafka: LocalKafka) -> None:
    assert not serves(kafka.port, kafka.node_id)
    kafka.start()
    await create_topic(kafka)

    assert serves(kafka.port, kafka.node_id)
    assert not serves(kafka.port, kafka.node_id + 1)


async def test_a_lock_file_of_a_killed_node_and_half_a_format_do_no_harm(
    kafka: LocalKafka,
) -> None:
    unfinished = kafka.directory / "data.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "meta.properties").write_text("version=1\n")
    kafka.start()
    kafka.kill()
    assert (kafka.directory / "data" / ".lock").exists()

    kafka.start()

    assert await create_topic(kafka)


def test_a_port_in_use_is_said_clearly(kafka: LocalKafka) -> None:
    with socket.socket() as other:
        other.bind((LOOPBACK, kafka.port))
        other.listen()

        with pytest.raises(PortInUseError, match=f"Port {kafka.port} .* is already in use"):
            kafka.start()
