"""The worker: takes entries of a queue, keeps their leases, runs their jobs.

An entry leaves the queue when its job has ended, and only then. Whatever else happens to it (a
failed render, a stop, a kill), it is queued again or its lease runs out.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, Literal, Protocol, TypeVar

import structlog
from prometheus_client import Counter

from schemas.jobs import JobError
from services.core.errors import DependencyUnavailable
from services.core.failpoints import fail_point
from services.core.rendering.base import RenderBackendError, RenderBusy, RenderError
from services.core.service import first_to_end
from services.core.work.patience import patiently
from services.core.work.queue import Entry, EntryId, WorkQueue
from services.core.work.task import AnyTask

log = structlog.get_logger(__name__)

STOP_TIMEOUT = 3.0
"""Seconds that stopping may take: to hand back what is under way."""
UNREADABLE = JobError(
    code="RENDER_BACKEND_ERROR",
    message="The job's entry in the work queue could not be read.",
    retryable=True,
)

JobOutcome = Literal["completed", "failed", "ended"]
"""`ended`: before this worker was done with it, by a cancel or by another worker."""

RunnableTask = TypeVar("RunnableTask", contravariant=True)


class Runner(Protocol[RunnableTask]):
    """Does jobs; both methods wait for whatever is away."""

    async def run(self, task: RunnableTask, *, resumes: bool) -> JobOutcome:
        """Raises RenderError when it could not be done.

        `resumes`: the backend was busy, and nobody has begun the job since; that was no start.
        """
        ...

    async def fail(self, task: RunnableTask, error: JobError) -> JobOutcome:
        """Ends the job."""
        ...


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`delay` is the first one's, in seconds; each is twice the one before, up to the limit.

    For `busy_limit` seconds a job is postponed while the backend says that it is busy.
    """

    max_attempts: int
    delay: float
    delay_limit: float
    busy_limit: float

    def delay_after(self, failures: int) -> float:
        return min(self.delay * 2.0 ** min(failures, 64), self.delay_limit)

    def pause_of(self, busy: RenderBusy) -> float:
        """As the backend wants it, within our own bounds."""
        return min(max(busy.retry_after, self.delay), self.delay_limit)


@dataclass(slots=True)
class _UnderWay(Generic[AnyTask]):
    entry: Entry[AnyTask]
    task: "asyncio.Task[None]"
    canceled: bool = False


@dataclass(slots=True)
class Worker(Generic[AnyTask]):
    """`jobs` counts those that left it, by how."""

    queue: WorkQueue[AnyTask]
    runner: Runner[AnyTask]
    retries: RetryPolicy
    concurrency: int
    poll_interval: float
    lease: float
    jobs: Counter
    clock: Callable[[], float] = time.monotonic
    _under_way: dict[EntryId, _UnderWay[AnyTask]] = field(default_factory=dict)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _last_look: float = float("-inf")
    _paused_until: float = float("-inf")

    def wake(self) -> None:
        """There may be a new entry."""
        self._wake.set()

    def cancel(self, job_id: str) -> None:
        """The job was canceled: stops it if it is under way here."""
        for job in self._under_way.values():
            if job.entry.task.job_id == job_id:
                job.canceled = True
                job.task.cancel()

    async def run(self) -> None:
        """Works for ever; when cancelled, hands back what is under way."""
        try:
            await first_to_end(self._take_for_ever(), self._keep_leases())
        finally:
            await self._stop()

    async def _take_for_ever(self) -> None:
        while True:
            self._wake.clear()
            await self._take()
            # Not `wait_for`: Python 3.11's loses a cancel that comes together with the event.
            with suppress(TimeoutError):
                async with asyncio.timeout(self.poll_interval):
                    await self._wake.wait()

    async def check(self) -> None:
        """Raises DependencyUnavailable unless the worker looked at the queue lately."""
        silent = self.clock() - self._last_look
        if silent > self.poll_interval + 10:
            raise DependencyUnavailable("work queue", f"not looked at for {silent:.0f} s")

    async def _take(self) -> None:
        free = self.concurrency - len(self._under_way)
        if not free or self.clock() < self._paused_until:
            self._last_look = self.clock()
            return
        try:
            entries = await self.queue.take(free)
        except DependencyUnavailable as fault:
            log.warning("queue_unavailable", fault=str(fault))
            return
        self._last_look = self.clock()
        if entries:
            fail_point("worker.claimed")
        for entry in entries:
            self._begin(entry)

    def _begin(self, entry: Entry[AnyTask]) -> None:
        # A late renewal lets our own look at the queue find an entry that is under way here.
        if entry.id in self._under_way:
            return
        work = self._work(entry) if entry.readable else self._give_up(entry)
        task = asyncio.create_task(work, name=f"job-{entry.task.job_id}")
        self._under_way[entry.id] = _UnderWay(entry, task)
        task.add_done_callback(lambda _: self._ended(entry))

    def _ended(self, entry: Entry[AnyTask]) -> None:
        del self._under_way[entry.id]
        self._wake.set()

    async def _work(self, entry: Entry[AnyTask]) -> None:
        try:
            outcome = await self._outcome(entry)
        except RenderBusy as busy:
            await self._postpone(entry, busy)
        except RenderError as error:
            await self._retry(entry, error)
        except asyncio.CancelledError:
            if not self._under_way[entry.id].canceled:
                raise
            await self._leave(entry, "canceled")
        else:
            await self._leave(entry, outcome)

    async def _outcome(self, entry: Entry[AnyTask]) -> JobOutcome:
        """Raises RenderError when the job is worth another attempt."""
        try:
            if entry.resumes:
                await patiently("resume entry", lambda: self.queue.resume(entry))
            return await self.runner.run(entry.task, resumes=entry.resumes)
        except RenderBusy as busy:
            return await self._after_busy(entry, busy)
        except RenderError as error:
            return await self._after_failure(entry, error)
        except Exception as fault:
            log.exception("job_failed_unexpectedly", job_id=entry.task.job_id)
            unexpected = RenderBackendError(f"an unexpected fault: {type(fault).__name__}")
            return await self._after_failure(entry, unexpected)

    async def _after_failure(self, entry: Entry[AnyTask], error: RenderError) -> JobOutcome:
        if error.retryable and entry.failures + 1 < self.retries.max_attempts:
            raise error
        failure = JobError(code=error.code, message=error.message, retryable=error.retryable)
        return await self.runner.fail(entry.task, failure)

    async def _after_busy(self, entry: Entry[AnyTask], busy: RenderBusy) -> JobOutcome:
        """Raises RenderBusy when the job may go on waiting."""
        if (entry.postponed_for or 0.0) < self.retries.busy_limit:
            raise busy
        error = JobError(
            code=busy.code,
            message=f"The backend was busy for too long: {busy.message}",
            retryable=True,
        )
        return await self.runner.fail(entry.task, error)

    async def _give_up(self, entry: Entry[AnyTask]) -> None:
        """Ends the job of an entry that can't be read, so that somebody hears of it."""
        try:
            outcome = await self.runner.fail(entry.task, UNREADABLE)
        except Exception:
            log.exception("entry_set_aside", job_id=entry.task.job_id)
            self.jobs.labels("set_aside").inc()
            await patiently("set entry aside", lambda: self.queue.set_aside(entry))
        else:
            await self._leave(entry, outcome)

    async def _leave(self, entry: Entry[AnyTask], outcome: str) -> None:
        self.jobs.labels(outcome).inc()
        log.info("job_left", job_id=entry.task.job_id, outcome=outcome)
        fail_point("worker.before_acknowledge")
        await patiently("finish entry", lambda: self.queue.finish(entry))
        fail_point("worker.acknowledged")

    async def _retry(self, entry: Entry[AnyTask], error: RenderError) -> None:
        delay = self.retries.delay_after(entry.failures)
        self.jobs.labels("retried").inc()
        log.warning("job_retries", job_id=entry.task.job_id, code=error.code, seconds=delay)
        await patiently("retry entry", lambda: self.queue.retry(entry, delay))

    async def _postpone(self, entry: Entry[AnyTask], busy: RenderBusy) -> None:
        """It is busy for all jobs alike: until then nothing else is begun here either."""
        delay = self.retries.pause_of(busy)
        self._paused_until = self.clock() + delay
        self.jobs.labels("postponed").inc()
        log.warning("job_postponed", job_id=entry.task.job_id, fault=busy.message, seconds=delay)
        await patiently("postpone entry", lambda: self.queue.postpone(entry, delay))

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(self.lease / 4)
            if self._under_way:
                with suppress(DependencyUnavailable):
                    await self.queue.keep(list(self._under_way))

    async def _stop(self) -> None:
        """Whatever can't be handed back in time is taken over when its lease runs out."""
        stopped = list(self._under_way.values())
        for job in stopped:
            job.task.cancel()
        with suppress(TimeoutError, DependencyUnavailable):
            async with asyncio.timeout(STOP_TIMEOUT):
                await asyncio.gather(*(job.task for job in stopped), return_exceptions=True)
                for job in stopped:
                    if job.task.cancelled():
                        await self.queue.hand_back(job.entry)
