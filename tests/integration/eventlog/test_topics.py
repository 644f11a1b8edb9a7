"""Tests leave nothing on a Kafka that goes on after them."""

from aiokafka.admin import AIOKafkaAdminClient

from deploy.local.stack import Stack
from services.core.eventlog.topics import TopicNames, create_topics
from tests.topics import delete_topics, new_topic_names
from tests.waiting import eventually


async def test_the_topics_of_one_run_go_and_those_of_others_stay(
    stack: Stack, topics: TopicNames
) -> None:
    servers, ours = stack.bootstrap_servers, new_topic_names()
    await create_topics(servers, ours, shard_count=1, replication_factor=1)

    async def are_listed() -> bool:
        return {*ours.events, ours.cursor} <= await names_of(servers)

    await eventually("our topics are listed", are_listed)
    await delete_topics(servers, ours.prefix)

    async def are_gone() -> bool:
        left = await names_of(servers)
        return not any(name.startswith(ours.prefix) for name in left)

    await eventually("our topics are gone", are_gone)
    assert {*topics.events, topics.cursor} <= await names_of(servers)


async def names_of(servers: str) -> set[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        return set(await admin.list_topics())
    finally:
        await admin.close()
