"""The relay's cursor: which outbox rows the last committed Kafka transaction holds."""

from dataclasses import dataclass

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from services.core.eventlog.read import committed_consumer, start_client, stop_client

START_TIMEOUT = 10.0
STOP_TIMEOUT = 3.0
_FIRST_WINDOW = 64


@dataclass(frozen=True, slots=True)
class Cursor:
    """Rows are named by id and event id: ids alone begin anew with a restored database."""

    outbox_ids: tuple[int, ...] = ()
    event_ids: tuple[str, ...] = ()

    def encode(self) -> bytes:
        return orjson.dumps({"outboxIds": self.outbox_ids, "eventIds": self.event_ids})

    @staticmethod
    def decode(value: bytes) -> "Cursor":
        read = orjson.loads(value)
        return Cursor(tuple(read["outboxIds"]), tuple(read["eventIds"]))


async def read_last_cursor(bootstrap_servers: str, topic: str, shard: int) -> Cursor:
    """The cursor of the shard's last committed transaction; an empty one when there is none.

    Only right once no transaction of the shard is open: initialise its producers first. Raises
    TimeoutError.
    """
    consumer = committed_consumer(bootstrap_servers, client_id=f"relay-cursor-{shard}")
    try:
        await start_client(consumer, START_TIMEOUT)
        partition = TopicPartition(topic, shard)
        consumer.assign([partition])
        return await last_cursor(consumer, partition)
    finally:
        await stop_client(consumer, STOP_TIMEOUT)


async def last_cursor(consumer: AIOKafkaConsumer, partition: TopicPartition) -> Cursor:
    """The last that `consumer`, which has the partition, can read there; an empty one if none.

    Looks back in growing windows: most offsets near the end are transaction markers.
    """
    begin = (await consumer.beginning_offsets([partition]))[partition]
    end = (await consumer.end_offsets([partition]))[partition]
    window = _FIRST_WINDOW
    while end > begin:
        start = max(begin, end - window)
        found = await _last_between(consumer, partition, start, end)
        if found is not None:
            return found
        if start == begin:
            break
        window *= 16
    return Cursor()


async def _last_between(
    consumer: AIOKafkaConsumer, partition: TopicPartition, start: int, end: int
) -> Cursor | None:
    consumer.seek(partition, start)
    last: bytes | None = None
    while await consumer.position(partition) < end:
        batches = await consumer.getmany(partition, timeout_ms=200)
        for record in batches.get(partition, ()):
            if record.value is not None:
                last = record.value
    return Cursor.decode(last) if last is not None else None
