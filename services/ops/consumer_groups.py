"""What every consumer group of the cluster has committed."""

import asyncio

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.commit import OffsetFetchRequest

from services.core.errors import DependencyUnavailable
from services.ops.connections import kafka_admin

COORDINATOR_PATIENCE = 5.0
RETRY_INTERVAL = 0.1


async def committed_by_group(
    bootstrap_servers: str, *always: str
) -> dict[str, dict[TopicPartition, int]]:
    """By group; those in `always` are there also when they have committed nothing yet.

    A coordinator is asked until it answers, so one that is away never looks like a group that has
    read nothing. Raises DependencyUnavailable.
    """
    async with kafka_admin(bootstrap_servers) as client:
        groups = {name for name, *_ in await client.list_consumer_groups()}
        names = sorted(groups.union(always))
        offsets = await asyncio.gather(*(_committed(client, group) for group in names))
    return dict(zip(names, offsets, strict=True))


async def _committed(client: AIOKafkaAdminClient, group: str) -> dict[TopicPartition, int]:
    fault: Exception | None = None
    try:
        async with asyncio.timeout(COORDINATOR_PATIENCE):
            while True:
                try:
                    return await fetch_committed(client, group)
                except KafkaError as told:
                    fault = told
                await asyncio.sleep(RETRY_INTERVAL)
    except TimeoutError:
        reason = f"the coordinator of group {group} does not answer"
        raise DependencyUnavailable("kafka", reason) from fault


async def fetch_committed(client: AIOKafkaAdminClient, group: str) -> dict[TopicPartition, int]:
    """Not the client's own method: that one takes a coordinator's fault for an empty answer."""
    coordinator = await client.find_coordinator(group)
    answer = await client._send_request(OffsetFetchRequest(group, None), coordinator)
    if answer.error_code:
        raise for_code(answer.error_code)(group)
    return {
        TopicPartition(topic, partition): offset
        for topic, partitions in answer.topics
        for partition, offset, _, error in partitions
        if not error and offset >= 0
    }
