"""Reads a topic to its end, as a subscriber would."""

from collections import defaultdict
from collections.abc import Iterable

from aiokafka import ConsumerRecord

from schemas.events import Event, decode
from services.core.eventlog.read import committed_consumer, partitions_of
from tests.waiting import eventually


async def read_records(bootstrap_servers: str, topic: str) -> list[ConsumerRecord]:
    """Every committed record that is on the topic now, partition by partition."""
    consumer = committed_consumer(bootstrap_servers)
    await consumer.start()
    try:
        partitions = await partitions_of(consumer, topic)
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        records: list[ConsumerRecord] = []
        for partition in partitions:
            while await consumer.position(partition) < ends[partition]:
                batches = await consumer.getmany(partition, timeout_ms=200)
                records += batches.get(partition, [])
        return records
    finally:
        await consumer.stop()


async def read_settled(bootstrap_servers: str, topic: str, count: int) -> list[ConsumerRecord]:
    """All records once there are at least `count`: markers follow a commit a little later."""

    async def enough() -> list[ConsumerRecord] | None:
        records = await read_records(bootstrap_servers, topic)
        return records if len(records) >= count else None

    return await eventually(f"{count} records on {topic}", enough)


async def read_events(bootstrap_servers: str, topic: str, count: int) -> list[Event]:
    records = await read_settled(bootstrap_servers, topic, count)
    return [decode(record.headers, record.value) for record in records]


def by_key(events: Iterable[Event]) -> dict[str, list[Event]]:
    streams: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        streams[event.key].append(event)
    return streams
