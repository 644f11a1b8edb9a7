"""From the log to the queue: each event that concerns us becomes durable before its offset does."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import structlog

from schemas.events import (
    Event,
    InfluencerCreateRequested,
    InfluencerRenderRequested,
    JobCanceled,
    UndecodableEvent,
    decode,
)
from services.core.abrupt_end import end_process
from services.core.errors import DependencyUnavailable
from services.core.eventlog.topics import TopicNames
from services.core.failpoints import fail_point
from services.core.freshness import UNKNOWN, Freshness
from services.core.service import NotReady, first_to_end
from services.core.work.patience import patiently
from services.core.work.render_queue import RenderQueue, RenderTask
from services.renderer.faust_application import LogReader, Record
from services.renderer.ingest_watch import IngestWatch
from services.renderer.metrics import EVENTS

log = structlog.get_logger(__name__)

GROUP = "influencer-renderer"
OURS = frozenset(
    model.__name__.encode()
    for model in (InfluencerCreateRequested, InfluencerRenderRequested, JobCanceled)
)
STUCK_AFTER = 20.0
JOIN_TIMEOUT = 15.0
"""Seconds: longer than the group waits for a member that is gone."""
WATCH_INTERVAL = 5.0
COMMITTED_WITHIN = 3.0
"""Seconds, a few commit intervals."""
GRACE = 1.0
"""Seconds that an event under way gets when the reader is stopped."""
START_TIMEOUT = 30.0
STOP_TIMEOUT = 3.0
_RESTART_DELAY = 1.0


@dataclass(slots=True)
class Ingest:
    """Reads the log for ever; a reader that Kafka's absence has ended is replaced."""

    queue: RenderQueue
    bootstrap_servers: str
    topics: TopicNames
    instance_id: str
    stuck_after: float = STUCK_AFTER
    reader: LogReader | None = None
    freshness: Freshness = UNKNOWN
    _under_way: int = 0
    _reported: set[str] = field(default_factory=set)

    async def run(self) -> None:
        watch = IngestWatch(
            self.bootstrap_servers, self.topics, self.topics.named(GROUP), self.stuck_after
        )
        try:
            while True:
                self.reader = self._new_reader()
                try:
                    await self._read_until_fault(self.reader, watch)
                finally:
                    await self._stop(self.reader)
                await asyncio.sleep(_RESTART_DELAY)
        finally:
            await watch.stop()

    async def check(self) -> None:
        """Raises DependencyUnavailable unless the group has us, as a standby at least."""
        if self.reader is None or not self.reader.is_member:
            raise DependencyUnavailable("kafka", "not a member of the consumer group yet")

    async def check_freshness(self) -> None:
        """Raises NotReady when it is stuck: lagging is no fault, and waiting makes it better."""
        if self.freshness.state == "stuck":
            raise NotReady(str(self.freshness))

    async def report(self) -> dict[str, Any]:
        return {"ingest": self.freshness.as_json()}

    async def handle(self, record: Record) -> None:
        """Returns when the event's effect is durable; never raises, never lets go half-way.

        Faust acknowledges an event whose handling raised or was cancelled. So a cancelled one is
        finished first, and one that can't be ends the process.
        """
        handling = asyncio.create_task(self._handle(record))
        try:
            await asyncio.shield(handling)
        except asyncio.CancelledError:
            await asyncio.wait({handling}, timeout=GRACE)
            if not handling.done() or handling.cancelled() or handling.exception():
                end_process("stopped in the middle of an event", offset=record.offset)
            raise
        except Exception as fault:
            log.exception("ingest_failed", partition=record.partition, offset=record.offset)
            end_process("an event could not be handled", fault=repr(fault))

    async def _handle(self, record: Record) -> None:
        self._under_way += 1
        try:
            await self._handle_known(record)
        finally:
            self._under_way -= 1

    async def _handle_known(self, record: Record) -> None:
        if not _concerns_us(record):
            return
        try:
            event = decode(record.headers, record.value)
        except UndecodableEvent as fault:
            self._report(record, fault)
            return
        await self._act(event)

    async def _act(self, event: Event) -> None:
        match event.data:
            case (
                InfluencerCreateRequested(job_id=job_id) | InfluencerRenderRequested(job_id=job_id)
            ):
                task = _task(event, job_id)
                fail_point("ingest.before_insert")
                added = await patiently("queue job", lambda: self.queue.add(task))
                fail_point("ingest.after_insert")
                EVENTS.labels("queued" if added else "known").inc()
            case JobCanceled(job_id=job_id):
                await patiently("signal cancel", lambda: self.queue.cancel(job_id))
                EVENTS.labels("canceled").inc()

    def _report(self, record: Record, fault: UndecodableEvent) -> None:
        """Once for each reason: the projector is who quarantines."""
        EVENTS.labels("undecodable").inc()
        if fault.reason not in self._reported and len(self._reported) < 1000:
            self._reported.add(fault.reason)
            place = f"{record.topic}/{record.partition}/{record.offset}"
            log.warning("event_ignored", reason=fault.reason, record=place)

    def _new_reader(self) -> LogReader:
        return LogReader(
            group_id=self.topics.named(GROUP),
            instance_id=self.instance_id,
            bootstrap_servers=self.bootstrap_servers,
            topic=self.topics.influencer,
            handle=self.handle,
        )

    async def _read_until_fault(self, reader: LogReader, watch: IngestWatch) -> None:
        try:
            async with asyncio.timeout(START_TIMEOUT):
                await reader.start()
            log.info("reader_started", topic=reader.topic)
            await first_to_end(reader.wait_for_end(), self._watch_until_stuck(reader, watch))
            log.warning("reader_ended")
        except Exception as fault:
            log.warning("reader_failed", fault=f"{type(fault).__name__}: {fault}")

    async def _watch_until_stuck(self, reader: LogReader, watch: IngestWatch) -> None:
        """Ends when the reader gets no records although there are some, and handles none; or when
        it has not been in the group for long."""
        began = seen_in_group = time.monotonic()
        busy_at = 0.0
        while True:
            await asyncio.sleep(min(WATCH_INTERVAL, self.stuck_after / 4, JOIN_TIMEOUT / 4))
            if self._under_way:
                busy_at = time.monotonic()
            if reader.is_member:
                self.freshness = await watch.measure(reader.partitions)
                seen_in_group = time.monotonic()
            elif time.monotonic() - seen_in_group >= JOIN_TIMEOUT:
                log.warning("reader_outside_group")
                return
            tried = time.monotonic() - began >= self.stuck_after
            # What was handled just now is not committed yet, and looks stuck still.
            idle = not self._under_way and time.monotonic() - busy_at >= COMMITTED_WITHIN
            if self.freshness.state == "stuck" and tried and idle:
                log.warning("reader_stuck", freshness=str(self.freshness))
                return

    async def _stop(self, reader: LogReader) -> None:
        # A task of its own: Faust waits for an event under way, and a cancel doesn't end that wait.
        stopping = asyncio.create_task(reader.stop())
        await asyncio.wait({stopping}, timeout=STOP_TIMEOUT)
        if not stopping.done():
            end_process("the reader does not stop")
        if fault := stopping.exception():
            log.warning("reader_stop_failed", fault=f"{type(fault).__name__}: {fault}")


def _concerns_us(record: Record) -> bool:
    """By the type's header alone: most events are none of our business."""
    with suppress(ValueError, TypeError):
        return any(name == "ce_type" and value in OURS for name, value in record.headers)
    return False


def _task(event: Event, job_id: str) -> RenderTask:
    return RenderTask(
        organization_id=event.organization_id,
        influencer_id=event.subject,
        job_id=job_id,
        causation_id=event.id,
        traceparent=event.traceparent,
    )
