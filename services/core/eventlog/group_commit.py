"""Group commit: commands that arrive while a transaction runs share the next one.

When more wait than fit in one, organizations take turns.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

import asyncpg
import structlog

from schemas.ids import IdentifierSource
from services.core.clock import Clock
from services.core.errors import DependencyUnavailable
from services.core.eventlog.append import Raced, append_batch
from services.core.eventlog.plan import JobsUncounted
from services.core.eventlog.requests import (
    AppendQueueFull,
    AppendRequest,
    IdempotencyKeyBusy,
    Outcome,
)
from services.core.postgres import Pool, acquire
from services.core.turns import FairQueue

log = structlog.get_logger(__name__)

CLAIM_LOCK_TIMEOUT = 10.0
"""Seconds in all, in however many transactions."""
SHORTEST = 0.01
"""Seconds that are tried for at least."""
PATIENT = 2
"""Commands that wait for a key at once, each on a connection of its own."""
COUNT_AGAIN_AFTER = 0.01
"""Seconds; each time twice as long as the time before."""
COUNT_AGAIN_TIMES = 8
"""About 2.5 s."""


class _Waiting(NamedTuple):
    """`until`, of the loop's clock, it may wait for another request with its idempotency key."""

    request: AppendRequest
    outcome: "asyncio.Future[Outcome]"
    until: float
    uncounted: int = 0


class GroupCommit:
    """Appends commands in shared transactions; every caller gets its own outcome.

    `writers` transactions may run at once; `after_commit` is called when one has committed
    events. `start` before use, `stop` when done: what waits is finished first. `run` beside the
    other parts of a service: it ends, with the fault, when a writer does.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        clock: Clock,
        ids: IdentifierSource,
        write_read_models: bool,
        after_commit: Callable[[], None] = lambda: None,
        writers: int = 2,
        max_batch: int = 128,
        max_waiting: int = 4096,
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._ids = ids
        self._write_read_models = write_read_models
        self._after_commit = after_commit
        self._writer_count = writers
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._queue: FairQueue[_Waiting] = FairQueue()
        self._arrived = asyncio.Event()
        self._stopping = False
        self._writers: list[asyncio.Task[None]] = []
        self._patience = asyncio.Semaphore(PATIENT)
        self._patient: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._writers = [asyncio.create_task(self._write()) for _ in range(self._writer_count)]

    async def run(self) -> None:
        """For ever. Raises what a writer raised: a bug."""
        done, _ = await asyncio.wait(self._writers, return_when=asyncio.FIRST_COMPLETED)
        for writer in done:
            writer.result()

    async def stop(self) -> None:
        self._stopping = True
        self._arrived.set()
        await asyncio.gather(*self._writers, return_exceptions=True)
        while self._patient or self._queue:
            await asyncio.gather(*self._patient, return_exceptions=True)
            if batch := self._take():
                with suppress(Exception):  # each outcome tells
                    await self._committed(batch)

    async def append(self, request: AppendRequest) -> Outcome:
        """The command's outcome, once it is durable.

        Raises the CommandRefused that `decide` raised, TooManyJobs, IdempotencyKeyReused,
        IdempotencyKeyBusy, AppendQueueFull, or DependencyUnavailable: then nothing happened, or
        it is unknown and safe to repeat with the same idempotency key.
        """
        if self._stopping:
            raise _stopping()
        if len(self._queue) >= self._max_waiting:
            raise AppendQueueFull(len(self._queue))
        loop = asyncio.get_running_loop()
        waiting = _Waiting(request, loop.create_future(), loop.time() + CLAIM_LOCK_TIMEOUT)
        self._queue.put(request.command.organization_id, waiting)
        self._arrived.set()
        return await waiting.outcome

    async def _write(self) -> None:
        while True:
            await self._arrived.wait()
            batch = self._take()
            if batch:
                await self._committed(batch)
            elif self._stopping:
                return

    def _take(self) -> list[_Waiting]:
        size = min(len(self._queue), self._max_batch)
        batch = [self._queue.take() for _ in range(size)]
        if not self._queue and not self._stopping:
            self._arrived.clear()
        return [waiting for waiting in batch if not waiting.outcome.done()]

    async def _committed(
        self, batch: Sequence[_Waiting], lock_timeout: float | None = None
    ) -> None:
        """Nobody waits for ever for a writer that has ended, whatever ended it."""
        try:
            await self._commit(batch, lock_timeout)
        except BaseException:
            for waiting in batch:
                self._fail(waiting, DependencyUnavailable("event log", "its writer has ended"))
            raise

    async def _commit(self, batch: Sequence[_Waiting], lock_timeout: float | None = None) -> None:
        try:
            outcomes = await self._append(batch, lock_timeout)
        except Exception as fault:
            await self._after_fault(batch, fault)
            return
        for waiting, outcome in zip(batch, outcomes, strict=True):
            self._settle(waiting, outcome)
        self._after_commit()

    async def _append(
        self, batch: Sequence[_Waiting], lock_timeout: float | None
    ) -> list[Outcome | Exception]:
        async with acquire(self._pool) as connection:
            return await append_batch(
                connection,
                [waiting.request for waiting in batch],
                clock=self._clock,
                ids=self._ids,
                write_read_models=self._write_read_models,
                lock_timeout=lock_timeout,
            )

    async def _after_fault(self, batch: Sequence[_Waiting], fault: Exception) -> None:
        """One command's fault must not be its neighbours': each gets a transaction of its own."""
        if len(batch) == 1:
            self._after_single_fault(batch[0], fault)
        elif _may_be_one_commands_fault(fault):
            log.info("append_batch_divided", size=len(batch), fault=str(fault))
            has_waited = _cause_is_lock_timeout(fault)
            for waiting in batch:
                if has_waited and waiting.request.idempotency:
                    self._wait_aside(waiting)
                else:
                    await self._commit([waiting])
        else:
            for waiting in batch:
                self._fail(waiting, fault)

    def _after_single_fault(self, waiting: _Waiting, fault: Exception) -> None:
        has_waited = _cause_is_lock_timeout(fault)
        if has_waited and waiting.request.idempotency:
            self._wait_on(waiting, fault)
        elif isinstance(fault, Raced | asyncpg.UniqueViolationError) or (
            has_waited and waiting.request.is_fresh
        ):
            self._try_again(waiting)
        else:
            self._fail(waiting, fault)

    def _wait_on(self, waiting: _Waiting, fault: Exception) -> None:
        if asyncio.get_running_loop().time() < waiting.until:
            self._wait_aside(waiting)
        else:
            self._fail(waiting, fault)

    def _wait_aside(self, waiting: _Waiting) -> None:
        """For whoever uses the same idempotency key; the writers go on meanwhile."""
        request = replace(waiting.request, is_fresh=False)
        task = asyncio.create_task(self._wait_for_key(waiting._replace(request=request)))
        self._patient.add(task)
        task.add_done_callback(self._patient.discard)

    async def _wait_for_key(self, waiting: _Waiting) -> None:
        claim = waiting.request.idempotency
        assert claim is not None
        try:
            async with asyncio.timeout_at(waiting.until):
                await self._patience.acquire()
        except TimeoutError:
            self._fail(waiting, IdempotencyKeyBusy(claim))
            return
        try:
            left = waiting.until - asyncio.get_running_loop().time()
            await self._committed([waiting], max(left, SHORTEST))
        finally:
            self._patience.release()

    def _settle(self, waiting: _Waiting, outcome: Outcome | Exception) -> None:
        if waiting.outcome.done():
            return
        if isinstance(outcome, Raced):
            self._try_again(waiting)
        elif isinstance(outcome, JobsUncounted):
            self._try_later(waiting)
        elif isinstance(outcome, Exception):
            waiting.outcome.set_exception(outcome)
        else:
            waiting.outcome.set_result(outcome)

    def _try_again(self, waiting: _Waiting) -> None:
        request = replace(waiting.request, is_fresh=False)
        self._queue.put_first(request.command.organization_id, waiting._replace(request=request))
        self._arrived.set()

    def _try_later(self, waiting: _Waiting) -> None:
        """Another replica is starting jobs of the organization: no writer waits for it."""
        if waiting.uncounted >= COUNT_AGAIN_TIMES:
            self._fail(waiting, DependencyUnavailable("event log", "its jobs are being counted"))
            return
        after = COUNT_AGAIN_AFTER * 2**waiting.uncounted
        again = waiting._replace(uncounted=waiting.uncounted + 1)
        asyncio.get_running_loop().call_later(after, self._put_back, again)

    def _put_back(self, waiting: _Waiting) -> None:
        if self._stopping:
            self._fail(waiting, _stopping())
            return
        self._queue.put(waiting.request.command.organization_id, waiting)
        self._arrived.set()

    def _fail(self, waiting: _Waiting, fault: Exception) -> None:
        if waiting.outcome.done():
            return
        claim = waiting.request.idempotency
        if claim and _cause_is_lock_timeout(fault):
            fault = IdempotencyKeyBusy(claim)
        waiting.outcome.set_exception(fault)


def _stopping() -> DependencyUnavailable:
    return DependencyUnavailable("event log", "this process is stopping")


def _cause_is_lock_timeout(fault: Exception) -> bool:
    return isinstance(fault.__cause__, asyncpg.LockNotAvailableError)


def _may_be_one_commands_fault(fault: Exception) -> bool:
    if isinstance(fault, DependencyUnavailable):
        return isinstance(
            fault.__cause__, asyncpg.LockNotAvailableError | asyncpg.DeadlockDetectedError
        )
    return True
