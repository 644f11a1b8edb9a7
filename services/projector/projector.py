"""The consumer loop: batches of the log into the read models, each exactly once.

While a batch's transaction runs, the next batch is fetched, decoded and folded.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AsyncExitStack
from time import perf_counter
from typing import TypeVar

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from services.core.errors import DependencyUnavailable
from services.core.eventlog.read import (
    committed_consumer,
    partitions_of,
    start_client,
    stop_client,
)
from services.core.eventlog.topics import TopicNames
from services.core.notifications import Notifier
from services.core.postgres import Pool, acquire
from services.core.readmodel.apply import Changes
from services.core.readmodel.positions import PositionMoved
from services.core.readmodel.project import (
    NOTHING,
    UNWRITABLE,
    Batch,
    Projected,
    commit,
    fold,
    project,
)
from services.core.readmodel.recent import RecentStates
from services.core.readmodel.records import StreamId
from services.core.service import first_to_end
from services.projector.source import BatchSource, RebalanceHint
from services.projector.status import ProjectorStatus
from services.projector.watch import ProjectorStuck, Watch

log = structlog.get_logger(__name__)

GROUP = "influencer-projector"
RESTART_DELAY = 0.5
RETRY_DELAYS = (0.05, 0.1, 0.25, 0.5, 1.0)
START_TIMEOUT = 10.0
JOIN_TIMEOUT = 15.0
"""Seconds: longer than the group waits for a member that is gone."""
STOP_TIMEOUT = 1.0
STUCK_AFTER = 15.0


T = TypeVar("T")


class TopicMissing(Exception):
    def __init__(self, topic: str) -> None:
        super().__init__(f"topic {topic} does not exist")
        self.topic = topic


class Projector:
    """One member of the group; `run` ends only when it is cancelled."""

    def __init__(
        self,
        pool: Pool,
        bootstrap_servers: str,
        names: TopicNames,
        notifier: Notifier,
        *,
        topics: Sequence[str] | None = None,
        instance: str | None = None,
        batch_size: int = 4000,
        stuck_after: float = STUCK_AFTER,
    ) -> None:
        self.status = ProjectorStatus()
        self._pool = pool
        self._bootstrap_servers = bootstrap_servers
        self._topics = tuple(topics or names.events)
        self._group = names.named(GROUP)
        self._notifier = notifier
        self._instance = instance
        self._batch_size = batch_size
        self._watch = Watch(
            pool,
            bootstrap_servers,
            self._topics,
            self.status,
            stuck_after=stuck_after,
            replica=instance,
        )

    async def run(self) -> None:
        """Projects for ever; when Kafka fails, it begins again with a new consumer."""
        try:
            while True:
                await self._serve_until_fault()
                await asyncio.sleep(RESTART_DELAY)
        finally:
            await self._watch.stop()

    async def _serve_until_fault(self) -> None:
        try:
            async with AsyncExitStack() as term:
                await self._serve_term(term)
        except (KafkaError, TopicMissing, ProjectorStuck, OSError, TimeoutError) as fault:
            self.status.kafka_fault = f"{type(fault).__name__}: {fault}"
            log.warning("projector_term_ended", fault=self.status.kafka_fault)

    async def _serve_term(self, term: AsyncExitStack) -> None:
        self.status.joined = False
        hint = RebalanceHint()
        consumer = await self._start_consumer(term, hint)
        self.status.kafka_fault = None
        self.status.terms += 1
        await first_to_end(self._watch.run(consumer), self._join_and_project(consumer, hint))

    async def _join_and_project(self, consumer: AIOKafkaConsumer, hint: RebalanceHint) -> None:
        # A consumer may lose its way into the group without a word, as when a broker restarts.
        async with asyncio.timeout(JOIN_TIMEOUT):
            await hint.assigned.wait()
        self.status.joined = True
        log.info("projector_joined", partitions=len(consumer.assignment()))
        await self._project(BatchSource(consumer, self._pool, hint, self._batch_size))

    async def _start_consumer(self, term: AsyncExitStack, hint: RebalanceHint) -> AIOKafkaConsumer:
        consumer = committed_consumer(
            self._bootstrap_servers,
            group_id=self._group,
            group_instance_id=self._instance,
            client_id=GROUP,
            # Postgres knows the position; without one, a jump would lose events silently.
            auto_offset_reset="none",
        )
        term.push_async_callback(stop_client, consumer, STOP_TIMEOUT)
        await start_client(consumer, START_TIMEOUT)
        async with asyncio.timeout(START_TIMEOUT):
            for topic in self._topics:
                if not await partitions_of(consumer, topic):
                    raise TopicMissing(topic)
        consumer.subscribe(self._topics, listener=hint)
        return consumer

    async def _project(self, source: BatchSource) -> None:
        """Reads and folds a batch while the one before it is being written."""
        recent, parked, writing = RecentStates(), set[StreamId](), None
        try:
            while True:
                batch, changes = await self._read_and_fold(source, recent, parked)
                if writing:
                    await self._finish(writing, source)
                parked, writing = set(), None
                if not source.is_settled:
                    recent.clear()
                    await self._until_available(source.settle)
                elif batch.records:
                    recent.remember(changes)
                    parked = changes.parked
                    writing = asyncio.create_task(self._write(batch, changes, source))
        finally:
            if writing:
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)

    async def _read_and_fold(
        self, source: BatchSource, recent: RecentStates, parked: Collection[StreamId]
    ) -> tuple[Batch, Changes]:
        batch = NOTHING
        if source.is_settled:
            try:
                batch = await source.read()
            except PositionMoved as fault:
                self._distrust(source, fault)
        if not batch.records:
            return NOTHING, Changes()

        async def fold_once() -> Changes:
            async with acquire(self._pool) as connection:
                return await fold(connection, batch, recent, parked)

        return batch, await self._until_available(fold_once)

    async def _finish(self, writing: asyncio.Task[None], source: BatchSource) -> None:
        try:
            await writing
        except PositionMoved as fault:
            self._distrust(source, fault)

    def _distrust(self, source: BatchSource, fault: PositionMoved) -> None:
        self.status.moved += 1
        source.distrust()
        log.warning("projector_position_moved", fault=str(fault))

    async def _write(self, batch: Batch, changes: Changes, source: BatchSource) -> None:
        async def write_once() -> None:
            started = perf_counter()
            async with acquire(self._pool) as connection:
                try:
                    projected = await commit(connection, batch, changes)
                except UNWRITABLE as fault:
                    log.warning("projector_batch_unwritable", fault=str(fault))
                    source.distrust()  # what was folded meanwhile stands on changes that won't be
                    projected = await project(connection, batch)
            self._report(batch, changes, projected, perf_counter() - started)

        await self._until_available(write_once)

    def _report(self, batch: Batch, changes: Changes, projected: Projected, seconds: float) -> None:
        self.status.record(batch, projected, seconds)
        self._notifier.notify(
            [
                *(record.stream.key for record in batch.records),
                *(f"{job.organization_id}/{job.job_id}" for job in changes.jobs.values()),
            ]
        )
        if projected.streams_parked:
            log.error("projector_quarantined", streams=projected.streams_parked)

    async def _until_available(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Tries again, for ever, while Postgres can't do it."""
        tries = 0
        self.status.under_way += 1
        try:
            while True:
                try:
                    return await attempt()
                except DependencyUnavailable as fault:
                    log.warning("projector_waits", fault=str(fault))
                    await asyncio.sleep(RETRY_DELAYS[min(tries, len(RETRY_DELAYS) - 1)])
                    tries += 1
        finally:
            self.status.under_way -= 1
