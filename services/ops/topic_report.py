"""The topics as they are, beside how they must be."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from services.core.eventlog.topics import Topic, TopicNames, topics


@dataclass(frozen=True, slots=True)
class TopicReport:
    """`partitions` is 0 for a missing topic; no `faults`: all is as it must be."""

    name: str
    partitions: int
    replication_factor: int
    configuration: dict[str, str] = field(default_factory=dict)
    faults: tuple[str, ...] = ()


async def report_topics(
    client: AIOKafkaAdminClient, names: TopicNames, shard_count: int
) -> list[TopicReport]:
    """One report for each topic of the service, missing ones too."""
    wanted = topics(names, shard_count)
    existing = {
        topic["topic"]: topic["partitions"]
        for topic in await client.describe_topics()
        if topic["topic"] in {w.name for w in wanted}
    }
    configurations = await _configurations(client, list(existing))
    return [_report(topic, existing, configurations) for topic in wanted]


async def _configurations(
    client: AIOKafkaAdminClient, names: list[str]
) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    answers = await client.describe_configs(resources)
    return {
        resource[3]: {entry[0]: entry[1] for entry in resource[4]}
        for answer in answers
        for resource in answer.resources
    }


def _report(
    wanted: Topic,
    existing: Mapping[str, list[Mapping[str, Any]]],
    configurations: Mapping[str, Mapping[str, str]],
) -> TopicReport:
    partitions = existing.get(wanted.name)
    if partitions is None:
        return TopicReport(wanted.name, 0, 0, faults=("missing",))
    found = configurations.get(wanted.name, {})
    configuration = {name: found.get(name, "") for name in wanted.configuration}
    return TopicReport(
        name=wanted.name,
        partitions=len(partitions),
        replication_factor=min(len(partition["replicas"]) for partition in partitions),
        configuration=configuration,
        faults=_faults(wanted, partitions, configuration),
    )


def _faults(
    wanted: Topic, partitions: list[Mapping[str, Any]], configuration: Mapping[str, str]
) -> tuple[str, ...]:
    off = [
        f"{name} is {configuration[name]}, must be {value}"
        for name, value in wanted.configuration.items()
        if configuration[name] != value
    ]
    if len(partitions) != wanted.partitions:
        off.append(f"{len(partitions)} partitions, must be {wanted.partitions}")
    if any(partition["leader"] < 0 for partition in partitions):
        off.append("a partition has no leader")
    if any(len(partition["isr"]) < len(partition["replicas"]) for partition in partitions):
        off.append("a replica is not in sync")
    return tuple(off)
