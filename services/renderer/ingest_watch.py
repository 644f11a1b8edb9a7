"""Watches the ingest from beside: is it fresh, lagging or stuck on the partitions it has?"""

import time
from collections.abc import Collection
from typing import get_args

from aiokafka import TopicPartition

from services.core.errors import DependencyUnavailable
from services.core.eventlog.gauge import LogGauge
from services.core.eventlog.topics import TopicNames
from services.core.freshness import UNKNOWN, Freshness, FreshnessMeter, State
from services.renderer.metrics import INGEST_LAG, INGEST_LAG_SECONDS, INGEST_STATE


class IngestWatch:
    """Compares what the group has committed with the log's end."""

    def __init__(
        self, bootstrap_servers: str, topics: TopicNames, group_id: str, stuck_after: float
    ) -> None:
        self._topic = topics.influencer
        self._gauge = LogGauge(bootstrap_servers, [self._topic], group_id)
        self._meter = FreshnessMeter[TopicPartition](stuck_after, time.time, time.monotonic)

    async def measure(self, partitions: Collection[int]) -> Freshness:
        """Of those partitions; unknown while Kafka doesn't tell."""
        try:
            ours = [TopicPartition(self._topic, partition) for partition in sorted(partitions)]
            positions = await self._gauge.committed(ours)
            freshness = self._meter.measured(positions, await self._gauge.behind(positions))
        except DependencyUnavailable:
            freshness = UNKNOWN
        for state in get_args(State):
            INGEST_STATE.labels(state).set(state == freshness.state)
        INGEST_LAG.set(freshness.events)
        INGEST_LAG_SECONDS.set(freshness.seconds)
        return freshness

    async def stop(self) -> None:
        await self._gauge.stop()
