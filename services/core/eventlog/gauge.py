"""How far positions are behind the log, measured by a consumer of its own.

Of its own, so that it also measures when the consumer that does the work gets no records. Offsets
don't tell: transaction markers take some too, and nobody waits for those; so it looks whether there
is a record between position and end, and how old the first one is.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from services.core.errors import DependencyUnavailable
from services.core.eventlog.read import committed_consumer, partitions_of, start_client, stop_client

POLL_MS = 100
LOOK_TIMEOUT = 2.0
MEASURE_TIMEOUT = 5.0
STOP_TIMEOUT = 1.0
FETCHED_BYTES = 64 * 1024
"""Of a partition at a time: enough to find its first record."""


class Behind(NamedTuple):
    """`events` waiting; counted by their offsets, markers too, where one fetch doesn't hold them.

    `oldest` is the first one's timestamp in ms, None when it could not be read.
    """

    events: int
    oldest: int | None


NOT_BEHIND = Behind(0, None)
NOWHERE = range(0)


class LogGauge:
    """Measures again and again; after a fault, with a new connection.

    `group_id` is only needed for `committed`; the group isn't joined.
    """

    def __init__(
        self, bootstrap_servers: str, topics: Collection[str], group_id: str | None = None
    ) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._topics = topics
        self._group_id = group_id
        self._consumer: AIOKafkaConsumer | None = None
        self._empty: dict[TopicPartition, range] = {}

    async def partitions(self) -> Collection[TopicPartition]:
        """Of all topics. Raises DependencyUnavailable."""
        async with self._bounded():
            return frozenset((await self._started()).assignment())

    async def committed(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """What the group has committed; 0 where nothing. Raises DependencyUnavailable."""
        async with self._bounded():
            consumer = await self._started()
            found = await asyncio.gather(*(consumer.committed(p) for p in partitions))
        return {p: offset or 0 for p, offset in zip(partitions, found, strict=True)}

    async def behind(self, positions: Mapping[TopicPartition, int]) -> dict[TopicPartition, Behind]:
        """For each of `positions`, next offsets. Raises DependencyUnavailable."""
        if not positions:
            return {}
        async with self._bounded():
            consumer = await self._started()
            ends = await consumer.end_offsets(list(positions))
            measured = await self._look(consumer, positions, ends)
        if any(behind.events and behind.oldest is None for behind in measured.values()):
            await self.stop()  # its fetches may be the ones that hang
        return measured

    async def stop(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await stop_client(consumer, STOP_TIMEOUT)

    @asynccontextmanager
    async def _bounded(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(MEASURE_TIMEOUT):
                yield
        except (KafkaError, OSError, TimeoutError) as fault:
            await self.stop()
            raise DependencyUnavailable("kafka", f"{type(fault).__name__}: {fault}") from fault

    async def _started(self) -> AIOKafkaConsumer:
        if self._consumer is not None:
            return self._consumer
        consumer = committed_consumer(
            self._bootstrap_servers,
            group_id=self._group_id,
            client_id="log-gauge",
            max_partition_fetch_bytes=FETCHED_BYTES,
        )
        self._consumer = consumer
        await start_client(consumer, MEASURE_TIMEOUT)
        partitions = [p for topic in self._topics for p in await partitions_of(consumer, topic)]
        consumer.assign(partitions)
        consumer.pause(*partitions)
        return consumer

    async def _look(
        self,
        consumer: AIOKafkaConsumer,
        positions: Mapping[TopicPartition, int],
        ends: Mapping[TopicPartition, int],
    ) -> dict[TopicPartition, Behind]:
        measured = dict.fromkeys(positions, NOT_BEHIND)
        for partition, position in positions.items():
            empty = self._empty.get(partition, NOWHERE)
            if ends[partition] > (empty.stop if position in empty else position):
                measured[partition] = Behind(ends[partition] - position, None)
        unknown = {partition for partition, behind in measured.items() if behind.events}
        for partition in unknown:
            consumer.seek(partition, positions[partition])
            consumer.resume(partition)
        clock = asyncio.get_running_loop().time
        given_up = clock() + LOOK_TIMEOUT
        while unknown and clock() < given_up:
            fetched = await consumer.getmany(*unknown, timeout_ms=POLL_MS)
            for partition in list(unknown):
                records = [r for r in fetched.get(partition, ()) if r.offset < ends[partition]]
                at_end = await consumer.position(partition) >= ends[partition]
                if records:
                    events = len(records) if at_end else measured[partition].events
                    measured[partition] = Behind(events, records[0].timestamp)
                elif at_end:
                    measured[partition] = NOT_BEHIND
                    self._empty[partition] = range(positions[partition], ends[partition])
                if records or at_end:
                    unknown.discard(partition)
                    consumer.pause(partition)
        if unknown:
            consumer.pause(*unknown)
        return measured
