"""Single records of the log, read where they stand."""

import asyncio
from contextlib import AsyncExitStack

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from services.core.errors import DependencyUnavailable
from services.core.eventlog.read import committed_consumer
from services.core.readmodel.records import LogRecord, read_record

PATIENCE = 10.0


class SingleRecords:
    """Connects when the first record is asked for; ends with `stack`."""

    def __init__(self, stack: AsyncExitStack, bootstrap_servers: str) -> None:
        self._stack = stack
        self._bootstrap_servers = bootstrap_servers
        self._consumer: AIOKafkaConsumer | None = None

    async def read(self, topic: str, partition: int, offset: int) -> LogRecord:
        """The committed record at `offset`. Raises DependencyUnavailable."""
        place = TopicPartition(topic, partition)
        try:
            async with asyncio.timeout(PATIENCE):
                consumer = await self._started()
                consumer.assign([place])
                consumer.seek(place, offset)
                return read_record(await consumer.getone(place))
        except (KafkaError, OSError, TimeoutError) as fault:
            raise DependencyUnavailable("kafka", f"{type(fault).__name__}: {fault}") from fault

    async def _started(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = committed_consumer(self._bootstrap_servers, client_id="verify")
            self._stack.push_async_callback(consumer.stop)
            await consumer.start()
            self._consumer = consumer
        return self._consumer
