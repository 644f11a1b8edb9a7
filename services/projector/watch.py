"""Watches the projector from beside: does Kafka answer, is it fresh, lagging or stuck?

A consumer may get no records although the broker answers everything else, as after a broker's
unclean restart. So its positions are compared with the log's end as another consumer sees it; where
nothing moves although there are events and none is being written, the term is ended.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from services.core.clock import Clock, system_clock
from services.core.errors import DependencyUnavailable
from services.core.eventlog.gauge import LogGauge
from services.core.freshness import UNKNOWN, Freshness, FreshnessMeter
from services.core.postgres import Pool, acquire
from services.core.readmodel.health import read_upkeep, report_freshness
from services.core.readmodel.positions import Partition, read_positions
from services.core.subscriber.kafka import partition_numbers
from services.projector.status import ProjectorStatus

INTERVAL = 2.0
TIMEOUT = 5.0


class ProjectorStuck(Exception):
    """The consumer gets no records, and there are some: only a new one may help."""

    def __init__(self, freshness: Freshness) -> None:
        super().__init__(str(freshness))


class Watch:
    """Lasts longer than a consumer; `run` watches one."""

    def __init__(
        self,
        pool: Pool,
        bootstrap_servers: str,
        topics: Sequence[str],
        status: ProjectorStatus,
        *,
        stuck_after: float,
        replica: str | None = None,
        clock: Clock = system_clock,
    ) -> None:
        self._pool = pool
        self._topics = topics
        self._status = status
        self._stuck_after = stuck_after
        self._replica = replica or uuid4().hex
        self._gauge = LogGauge(bootstrap_servers, topics)
        self._meter = FreshnessMeter[TopicPartition](
            stuck_after, lambda: clock().timestamp(), time.monotonic
        )
        self._positions: dict[TopicPartition, int] = {}

    async def run(self, consumer: AIOKafkaConsumer) -> None:
        """For ever. Raises ProjectorStuck."""
        begun = time.monotonic()
        while True:
            waited = bool(self._status.under_way)
            self._status.kafka_fault = await self._fault_of(consumer)
            await self._report()
            freshness = self._status.freshness
            waited = waited or bool(self._status.under_way)
            may_end = time.monotonic() - begun >= self._stuck_after and not waited
            if freshness.state == "stuck" and may_end:
                raise ProjectorStuck(freshness)
            await asyncio.sleep(min(INTERVAL, self._stuck_after / 4))

    async def stop(self) -> None:
        await self._gauge.stop()

    async def _fault_of(self, consumer: AIOKafkaConsumer) -> str | None:
        """What is wrong with Kafka; measures on the way."""
        try:
            async with asyncio.timeout(TIMEOUT):
                await partition_numbers(consumer._client, self._topics)
            await self._measure(consumer)
        except (KafkaError, OSError, TimeoutError) as fault:
            self._status.judge(UNKNOWN)
            return f"{type(fault).__name__}: {fault}"
        except DependencyUnavailable as fault:
            self._status.judge(UNKNOWN)
            return fault.reason
        return None

    async def _measure(self, consumer: AIOKafkaConsumer) -> None:
        positions = await self._positions_of(consumer)
        behind = await self._gauge.behind(positions)
        if self._status.joined:
            self._status.judge(self._meter.measured(positions, behind))
            self._status.record_lags(behind)

    async def _positions_of(self, consumer: AIOKafkaConsumer) -> Mapping[TopicPartition, int]:
        """What is folded, of the partitions that are ours; as last seen while Postgres is away."""
        assigned = consumer.assignment() or self._positions.keys()
        try:
            async with acquire(self._pool) as connection:
                found = await read_positions(connection, [Partition(*p) for p in sorted(assigned)])
            self._positions = {TopicPartition(*p): at.next_offset for p, at in found.items()}
        except DependencyUnavailable:
            self._positions = {p: self._positions.get(p, 0) for p in assigned}
        return self._positions

    async def _report(self) -> None:
        """What Postgres says beside, and a word to those whose answers rest on the projector."""
        try:
            async with acquire(self._pool) as connection:
                self._status.keep_up(await read_upkeep(connection))
                await report_freshness(connection, self._replica, self._status.freshness)
        except DependencyUnavailable:
            self._status.upkeep = None
