"""The topics: what they are called and how they must be configured."""

import asyncio
from dataclasses import dataclass, field

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, for_code

from schemas.channels import EVENT_PARTITIONS, RETENTION
from schemas.events import CONTENT_TOPIC, INFLUENCER_TOPIC, MEDIA_TOPIC
from services.core.errors import DependencyUnavailable
from services.core.eventlog.connection import kafka_options

CONTROLLER_TIMEOUT = 5.0
CONTROLLER_POLL = 0.1
_TOPIC_ALREADY_EXISTS = 36


@dataclass(frozen=True, slots=True)
class TopicNames:
    """The topics' names in this cluster; a prefix keeps several installations apart."""

    prefix: str = ""

    def named(self, name: str) -> str:
        return f"{self.prefix}{name}"

    @property
    def influencer(self) -> str:
        return self.named(INFLUENCER_TOPIC)

    @property
    def media(self) -> str:
        return self.named(MEDIA_TOPIC)

    @property
    def events(self) -> tuple[str, ...]:
        return tuple(self.named(name) for name in (INFLUENCER_TOPIC, MEDIA_TOPIC, CONTENT_TOPIC))

    @property
    def cursor(self) -> str:
        return self.named("influencer.relay.cursor")


@dataclass(frozen=True, slots=True)
class Topic:
    name: str
    partitions: int
    configuration: dict[str, str] = field(default_factory=dict)


def topics(names: TopicNames, shard_count: int) -> tuple[Topic, ...]:
    """Every topic of the service; events are kept for ever."""
    return (
        *(Topic(name, EVENT_PARTITIONS, dict(RETENTION)) for name in names.events),
        Topic(names.cursor, shard_count, {"cleanup.policy": "compact", "segment.ms": "3600000"}),
    )


async def create_topics(
    bootstrap_servers: str, names: TopicNames, *, shard_count: int, replication_factor: int
) -> dict[str, bool]:
    """Creates what is missing; topic name to whether it was made now.

    Raises DependencyUnavailable.
    """
    client = AIOKafkaAdminClient(
        bootstrap_servers=bootstrap_servers, request_timeout_ms=10_000, **kafka_options()
    )
    try:
        await client.start()
        await controller_known(client)
        wanted = [
            NewTopic(t.name, t.partitions, replication_factor, topic_configs=t.configuration)
            for t in topics(names, shard_count)
        ]
        answer = await client.create_topics(wanted)
    except (KafkaError, OSError, TimeoutError) as fault:
        raise DependencyUnavailable("kafka", f"{type(fault).__name__}: {fault}") from fault
    finally:
        await client.close()
    return {name: _was_created(name, code) for name, code, *_ in answer.topic_errors}


async def controller_known(client: AIOKafkaAdminClient) -> None:
    """Waits until a broker that has just started, or is busy, says who the controller is.

    aiokafka 0.14 asks once, and then fails with an AttributeError. Raises TimeoutError.
    """
    kafka = client._client
    try:
        async with asyncio.timeout(CONTROLLER_TIMEOUT):
            while kafka.cluster.controller is None:
                await kafka.force_metadata_update()
                if kafka.cluster.controller is None:
                    await asyncio.sleep(CONTROLLER_POLL)
    except TimeoutError:
        raise TimeoutError("no broker names a controller") from None


def _was_created(name: str, code: int) -> bool:
    if code in (0, _TOPIC_ALREADY_EXISTS):
        return code == 0
    raise DependencyUnavailable("kafka", f"topic {name}: {for_code(code).__name__}")
