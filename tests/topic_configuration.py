"""A topic that for a while takes no record beyond a size, as after an operator's mistake."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code

from services.core.eventlog.topics import TopicNames, topics


@asynccontextmanager
async def small_records_only(
    bootstrap_servers: str, names: TopicNames, topic: str, limit: int
) -> AsyncIterator[None]:
    """The broker refuses every batch of more than `limit` bytes that is sent to `topic`."""
    [own] = [one.configuration for one in topics(names, 1) if one.name == topic]
    await _configure(bootstrap_servers, topic, {**own, "max.message.bytes": str(limit)})
    try:
        yield
    finally:
        await _configure(bootstrap_servers, topic, own)


async def _configure(bootstrap_servers: str, topic: str, configuration: dict[str, str]) -> None:
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=10_000)
    await client.start()
    try:
        wanted = ConfigResource(ConfigResourceType.TOPIC, topic, configs=configuration)
        for answer in await client.alter_configs([wanted]):
            for code, message, *_ in answer.resources:
                assert code == 0, f"{for_code(code).__name__}: {message}"
    finally:
        await client.close()
