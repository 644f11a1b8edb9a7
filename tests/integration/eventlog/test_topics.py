"""Topics come only from who creates them, and those of tests go again."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.cluster import ClusterMetadata

from deploy.local.kafka import LocalKafka
from deploy.local.stack import Stack, cache_directory
from services.core.errors import DependencyUnavailable
from services.core.eventlog import topics as topics_module
from services.core.eventlog.read import committed_consumer, partitions_of
from services.core.eventlog.topics import TopicNames, create_topics
from services.ops.checker.sources import SourceUnavailable, read_log
from tests.topics import delete_topics, new_topic_names
from tests.waiting import eventually


async def test_the_topics_of_one_run_go_and_those_of_others_stay(
    stack: Stack, topics: TopicNames
) -> None:
    servers, ours = stack.bootstrap_servers, new_topic_names()
    await create_topics(servers, ours, shard_count=1, replication_factor=1)

    async def are_listed() -> bool:
        return {*ours.events, ours.cursor} <= await names_of(servers)

    # A broker whose disk is slow makes the files of many tests' partitions before these.
    await eventually("our topics are listed", are_listed, within=60)
    await delete_topics(servers, ours.prefix)

    async def are_gone() -> bool:
        left = await names_of(servers)
        return not any(name.startswith(ours.prefix) for name in left)

    await eventually("our topics are gone", are_gone)
    assert {*topics.events, topics.cursor} <= await names_of(servers)


async def test_a_broker_that_names_no_controller_at_first_is_asked_again(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    update, asked = ClusterMetadata.update_metadata, list[Any]()

    def update_without_controller(cluster: ClusterMetadata, metadata: Any) -> None:
        update(cluster, metadata)
        asked.append(metadata)
        if len(asked) < 4:
            cluster.controller = None

    monkeypatch.setattr(ClusterMetadata, "update_metadata", update_without_controller)
    ours = new_topic_names()
    made = await create_topics(stack.bootstrap_servers, ours, shard_count=1, replication_factor=1)
    assert all(made.values())
    assert len(asked) >= 4


async def test_a_cluster_without_a_controller_is_unavailable(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics_module, "CONTROLLER_TIMEOUT", 0.3)
    monkeypatch.setattr(
        ClusterMetadata, "controller", property(lambda _: None, lambda *_: None), raising=False
    )
    with pytest.raises(DependencyUnavailable, match="no broker names a controller"):
        await create_topics(
            stack.bootstrap_servers, new_topic_names(), shard_count=1, replication_factor=1
        )


async def test_who_looks_for_a_topic_does_not_make_it(tmp_path: Path) -> None:
    """Also where brokers make one for whoever asks: it would be configured as they like."""
    making = {"auto.create.topics.enable": "true"}
    kafka = LocalKafka(tmp_path / "kafka", cache=cache_directory(), settings=making)
    await asyncio.to_thread(kafka.start)
    try:
        consumer = committed_consumer(kafka.bootstrap_servers)
        await consumer.start()
        try:
            assert await partitions_of(consumer, "missing") == []
            with pytest.raises(SourceUnavailable, match="there is no topic"):
                await read_log(kafka.bootstrap_servers, "missing.")
            assert await names_of(kafka.bootstrap_servers) == set()
            await consumer._client.add_topic("asked.for")

            async def is_made() -> bool:
                return await names_of(kafka.bootstrap_servers) == {"asked.for"}

            await eventually("this broker makes what is asked for", is_made)
        finally:
            await consumer.stop()
    finally:
        await asyncio.to_thread(kafka.kill)


async def names_of(servers: str) -> set[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        return set(await admin.list_topics())
    finally:
        await admin.close()
