"""What the worker does with an entry, told with a queue and a runner of the test's own."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

import pytest
from pgqueuer.domain.models import Job as QueueRow
from pgqueuer.domain.types import JobId, QueueEntrypoint

from schemas.jobs import JobError
from services.core.errors import DependencyUnavailable
from services.core.rendering.base import RenderBackendError, RenderBusy, RenderRejected
from services.core.work import worker as work
from services.core.work.queue import Entry, EntryId, WorkQueue
from services.core.work.render_queue import RenderTask
from services.core.work.worker import JobOutcome, RetryPolicy, Worker
from services.renderer.metrics import JOBS
from tests.unit.samples import INFLUENCER_ID, JOB_ID, ORGANIZATION_ID, TRACEPARENT
from tests.waiting import eventually

NOW = datetime(2026, 11, 23, tzinfo=UTC)
TASK = RenderTask(
    organization_id=ORGANIZATION_ID,
    influencer_id=INFLUENCER_ID,
    job_id=JOB_ID,
    causation_id="evt_1",
    traceparent=TRACEPARENT,
)


def entry(failures: int = 0) -> Entry[RenderTask]:
    row = QueueRow(
        id=JobId(1),
        priority=0,
        created=NOW,
        updated=NOW,
        heartbeat=NOW,
        execute_after=NOW,
        status="picked",
        entrypoint=QueueEntrypoint("render"),
        payload=None,
        attempts=failures,
        queue_manager_id=None,
        headers=None,
    )
    return Entry(EntryId(1), TASK, failures, row)


class Queue:
    """Gives its entry once, and tells what became of it."""

    def __init__(self, waiting: Entry[RenderTask], faults: int = 0) -> None:
        self.waiting = [waiting]
        self.faults = faults
        self.done: asyncio.Queue[str] = asyncio.Queue()

    async def take(self, count: int) -> list[Entry[RenderTask]]:
        if self.faults:
            self.faults -= 1
            raise DependencyUnavailable("postgres", "away")
        taken, self.waiting = self.waiting[:count], self.waiting[count:]
        return taken

    async def keep(self, entries: list[EntryId]) -> None:
        self.done.put_nowait("kept")

    async def finish(self, entry: Entry[RenderTask]) -> None:
        self.done.put_nowait("finished")

    async def postpone(self, entry: Entry[RenderTask], delay: float) -> None:
        self.done.put_nowait(f"postponed by {delay:g} s")

    async def resume(self, entry: Entry[RenderTask]) -> None:
        self.done.put_nowait("resumed")

    async def set_aside(self, entry: Entry[RenderTask]) -> None:
        self.done.put_nowait("set aside")

    async def retry(self, entry: Entry[RenderTask], delay: float) -> None:
        self.done.put_nowait(f"retried after {delay:g} s")

    async def hand_back(self, entry: Entry[RenderTask]) -> None:
        self.done.put_nowait("handed back")


class Runner:
    def __init__(self, run: Callable[[], Awaitable[JobOutcome]]) -> None:
        self._run = run
        self.begun = asyncio.Event()
        self.failed: JobError | None = None
        self.resumes = False

    async def run(self, task: RenderTask, *, resumes: bool) -> JobOutcome:
        self.begun.set()
        self.resumes = resumes
        return await self._run()

    async def fail(self, task: RenderTask, error: JobError) -> JobOutcome:
        self.failed = error
        return "failed"


async def completes() -> JobOutcome:
    return "completed"


async def never_ends() -> JobOutcome:
    await asyncio.Event().wait()
    return "completed"


def raises(error: Exception) -> Callable[[], Awaitable[JobOutcome]]:
    async def run() -> JobOutcome:
        raise error

    return run


def working(queue: Queue, runner: Runner, lease: float = 60) -> Worker[RenderTask]:
    return Worker(
        queue=cast(WorkQueue[RenderTask], queue),
        runner=cast(work.Runner[RenderTask], runner),
        retries=RetryPolicy(max_attempts=3, delay=1, delay_limit=5, busy_limit=100),
        concurrency=1,
        poll_interval=0.01,
        lease=lease,
        jobs=JOBS,
    )


async def first_done(queue: Queue, worker: Worker[RenderTask]) -> str:
    running = asyncio.create_task(worker.run())
    try:
        return await asyncio.wait_for(queue.done.get(), 5)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_an_ended_job_leaves_the_queue() -> None:
    queue = Queue(entry())
    assert await first_done(queue, working(queue, Runner(completes))) == "finished"


async def test_a_queue_that_is_away_is_asked_again() -> None:
    queue = Queue(entry(), faults=3)
    assert await first_done(queue, working(queue, Runner(completes))) == "finished"


@pytest.mark.parametrize(
    ("failures", "outcome"), [(0, "retried after 1 s"), (1, "retried after 2 s"), (2, "finished")]
)
async def test_a_retryable_failure_is_retried_up_to_the_limit(failures: int, outcome: str) -> None:
    queue = Queue(entry(failures))
    runner = Runner(raises(RenderBackendError("no")))
    assert await first_done(queue, working(queue, runner)) == outcome
    assert (runner.failed is not None) == (outcome == "finished")


async def test_a_failure_that_stays_fails_the_job_at_once() -> None:
    queue = Queue(entry())
    runner = Runner(raises(RenderRejected("never")))
    assert await first_done(queue, working(queue, runner)) == "finished"
    assert runner.failed == JobError(code="RENDER_REJECTED", message="never", retryable=False)


async def test_a_fault_of_our_own_is_retried_as_well() -> None:
    queue = Queue(entry())
    runner = Runner(raises(KeyError("bug")))
    assert await first_done(queue, working(queue, runner)) == "retried after 1 s"


@pytest.mark.parametrize(
    ("wanted", "given"), [(3, "3"), (0, "1"), (-7, "1"), (float("nan"), "1"), (float("inf"), "5")]
)
async def test_a_busy_backend_is_waited_for_within_bounds(wanted: float, given: str) -> None:
    queue = Queue(entry(failures=2))
    runner = Runner(raises(RenderBusy("429", retry_after=wanted)))
    assert await first_done(queue, working(queue, runner)) == f"postponed by {given} s"
    assert runner.failed is None, "the last attempt was not used up"


async def test_nothing_else_is_begun_while_the_backend_is_busy() -> None:
    now = 100.0
    queue = Queue(entry())
    worker = working(queue, Runner(raises(RenderBusy("429", retry_after=4))))
    worker.clock = lambda: now
    running = asyncio.create_task(worker.run())
    assert await asyncio.wait_for(queue.done.get(), 5) == "postponed by 4 s"
    queue.waiting = [entry()]
    now = 103.9
    worker.wake()
    await eventually("the worker looked", lambda: _is(worker._last_look == now))
    assert queue.waiting
    now = 104.0
    worker.wake()
    assert await asyncio.wait_for(queue.done.get(), 5) == "postponed by 4 s"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def _is(truth: bool) -> bool:
    return truth


async def test_a_job_does_not_wait_for_a_busy_backend_for_ever() -> None:
    queue = Queue(replace(entry(), postponed_for=100.0))
    runner = Runner(raises(RenderBusy("429")))
    assert await first_done(queue, working(queue, runner)) == "finished"
    assert runner.failed is not None
    assert (runner.failed.code, runner.failed.retryable) == ("RENDER_BACKEND_ERROR", True)
    assert "429" in runner.failed.message


async def test_a_postponed_job_goes_on_and_says_that_it_has_begun() -> None:
    queue, runner = Queue(replace(entry(), resumes=True)), Runner(completes)
    assert await first_done(queue, working(queue, runner)) == "resumed"
    assert await asyncio.wait_for(queue.done.get(), 5) == "finished"
    assert runner.resumes


async def test_the_job_of_an_unreadable_entry_is_ended() -> None:
    queue, runner = Queue(replace(entry(), readable=False)), Runner(completes)
    assert await first_done(queue, working(queue, runner)) == "finished"
    assert runner.failed is not None
    assert (runner.failed.code, runner.begun.is_set()) == ("RENDER_BACKEND_ERROR", False)


async def test_an_unreadable_entry_whose_job_cannot_be_ended_is_set_aside() -> None:
    class Unending(Runner):
        async def fail(self, task: RenderTask, error: JobError) -> JobOutcome:
            raise ValueError("no such stream")

    queue = Queue(replace(entry(), readable=False))
    assert await first_done(queue, working(queue, Unending(completes))) == "set aside"


async def test_a_worker_that_cannot_keep_its_leases_ends() -> None:
    class Broken(Queue):
        async def keep(self, entries: list[EntryId]) -> None:
            raise KeyError("a bug")

    queue = Broken(entry())
    with pytest.raises(KeyError, match="a bug"):
        await asyncio.wait_for(working(queue, Runner(never_ends), lease=0.04).run(), 5)
    assert queue.done.get_nowait() == "handed back"


async def test_a_canceled_job_is_stopped_and_leaves_the_queue() -> None:
    queue, runner = Queue(entry()), Runner(never_ends)
    worker = working(queue, runner)
    running = asyncio.create_task(worker.run())
    await asyncio.wait_for(runner.begun.wait(), 5)
    worker.cancel("another job")
    worker.cancel(JOB_ID)
    assert await asyncio.wait_for(queue.done.get(), 5) == "finished"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_stop_hands_back_what_is_under_way() -> None:
    queue, runner = Queue(entry()), Runner(never_ends)
    running = asyncio.create_task(working(queue, runner).run())
    await asyncio.wait_for(runner.begun.wait(), 5)
    running.cancel()
    assert await asyncio.wait_for(queue.done.get(), 5) == "handed back"
    await asyncio.gather(running, return_exceptions=True)


async def test_leases_are_kept_while_a_job_is_under_way() -> None:
    queue = Queue(entry())
    assert await first_done(queue, working(queue, Runner(never_ends), lease=0.04)) == "kept"


def test_delays_double_up_to_their_limit() -> None:
    policy = RetryPolicy(max_attempts=9, delay=1, delay_limit=5, busy_limit=100)
    assert [policy.delay_after(failures) for failures in range(5)] == [1, 2, 4, 5, 5]
    assert policy.delay_after(10_000) == 5
