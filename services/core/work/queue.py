"""A durable queue of jobs: PgQueuer's tables and statements, our own loop around them.

PgQueuer's own worker deletes an entry whose task is cancelled, and one whose retry could not be
written; here an entry leaves the queue only when its job has ended.

Organizations take turns, however many jobs each has (start-time fair queueing; Goyal, Vin, Cheng,
1996): a job's turn is one after its organization's last, but never before the turn that is served
now: the latest that any worker has taken. It never goes back: a retry is taken by its old turn, and
whoever comes meanwhile must not begin there. PgQueuer takes the highest priority first, so a
priority is a turn, negated.

An entry that can't be read is set aside (`failed` in PgQueuer's words): no worker takes it, and an
operator sees it.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, NewType
from uuid import uuid4

import structlog
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.adapters.persistence.composer import ComposedQuery
from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment, QueryQueueBuilder
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.domain.models import Job as QueueRow
from pgqueuer.domain.settings import DBSettings
from pgqueuer.domain.types import Channel, JobId, QueueEntrypoint, QueueManagerId
from pydantic import ValidationError

from services.core.errors import DependencyUnavailable
from services.core.postgres import Connection, Pool, acquire
from services.core.work.task import AnyTask, remains_of

log = structlog.get_logger(__name__)

LOG_KEPT = timedelta(days=1)

HAND_BACK = """
update {schema}.pgqueuer
set status = 'queued', execute_after = now(), updated = now(), queue_manager_id = null
where id = $1 and queue_manager_id = $2
"""
NOTIFY = "select pg_notify($1, $2)"
FORGET_LOG = "delete from {schema}.pgqueuer_log where created < now() - $1::interval"
COUNT_BY_STATUS = "select status::text, count(*) from {schema}.pgqueuer group by status"
TAKE_TURN = """
with served as (
    select coalesce((select turn from control.turns_served where queue = $1), 0) as turn
)
insert into control.queue_turns as t (queue, organization_id, turn)
select $1, $2::uuid, served.turn + 1 from served
on conflict (queue, organization_id) do update set turn = greatest(t.turn + 1, excluded.turn)
returning turn
"""
TURN_SERVED = """
insert into control.turns_served as s (queue, turn) values ($1, $2)
on conflict (queue) do update set turn = excluded.turn where s.turn < excluded.turn
"""
POSTPONE = """
update {schema}.pgqueuer
set status = 'queued', execute_after = now() + $3::interval, updated = now(),
    queue_manager_id = null,
    headers = case jsonb_typeof(headers) when 'object' then headers else '{{}}' end
        || jsonb_build_object('postponed', true, 'postponedSince',
            coalesce(headers -> 'postponedSince', to_jsonb(extract(epoch from now()))))
where id = $1 and queue_manager_id = $2
"""
RESUME = """
update {schema}.pgqueuer set headers = headers - 'postponed'
where id = $1 and queue_manager_id = $2
"""
SET_ASIDE = """
update {schema}.pgqueuer set status = 'failed', updated = now(), queue_manager_id = null
where id = $1 and queue_manager_id = $2
"""
LOOK = "select 1 from {schema}.pgqueuer limit 1"

EntryId = NewType("EntryId", int)


@dataclass(frozen=True, slots=True)
class QueuePlace(Generic[AnyTask]):
    """Where a queue is: a Postgres schema with PgQueuer's tables, which notify `channel`.

    `cancel_channel` carries the ids of canceled jobs to the workers.
    """

    schema: str
    channel: str
    cancel_channel: str
    entrypoint: str
    task_type: type[AnyTask]

    @property
    def settings(self) -> DBSettings:
        return DBSettings(db_schema=self.schema, channel=Channel(self.channel))


@dataclass(frozen=True, slots=True)
class Entry(Generic[AnyTask]):
    """A job that this worker holds.

    `failures` counts the attempts that failed so far. `postponed_for`: seconds since it was
    postponed for the first time; None when it never was. `resumes`: nobody has begun it since it
    was postponed. Of one that is not `readable` no more is known than who it belongs to.
    """

    id: EntryId
    task: AnyTask
    failures: int
    row: QueueRow
    postponed_for: float | None = None
    resumes: bool = False
    readable: bool = True


class BoundedPoolDriver(AsyncpgPoolDriver):
    """PgQueuer's driver with our pool's bounded waits; faults become DependencyUnavailable."""

    async def fetch(self, query: str, *args: object) -> list[dict[str, object]]:
        async with acquire(self._pool) as connection:
            return [dict(row) for row in await connection.fetch(query, *args)]

    async def execute(self, query: str, *args: object) -> str:
        async with acquire(self._pool) as connection:
            return await connection.execute(query, *args)


async def add_in(connection: Connection, place: QueuePlace[AnyTask], task: AnyTask) -> bool:
    """As `WorkQueue.add`, in the transaction that is open on `connection`."""
    return await _add(_queries(AsyncpgDriver(connection), place), place, task)


async def cancel_in(connection: Connection, place: QueuePlace[AnyTask], job_id: str) -> None:
    """As `WorkQueue.cancel`, once the transaction that is open on `connection` has committed."""
    await connection.execute(NOTIFY, place.cancel_channel, job_id)


class WorkQueue(Generic[AnyTask]):
    """Every method raises DependencyUnavailable when Postgres can't do it just now."""

    def __init__(self, pool: Pool, place: QueuePlace[AnyTask], *, lease: float) -> None:
        self._pool = pool
        self._place = place
        self._lease = timedelta(seconds=lease)
        self._owner = QueueManagerId(uuid4())
        self._queries = _queries(BoundedPoolDriver(pool), place)
        self._turn_noted = 0

    async def add(self, task: AnyTask) -> bool:
        """Queues a job, and says whether it did: a job that waits or is worked on is left alone."""
        return await _add(self._queries, self._place, task)

    async def cancel(self, job_id: str) -> None:
        """Tells the worker that has the job to stop. A hint: a refused append is the net."""
        await self._queries.driver.execute(NOTIFY, self._place.cancel_channel, job_id)

    async def take(self, count: int) -> list[Entry[AnyTask]]:
        """Up to `count` entries: new ones, and those of workers that fell silent.

        One that can't be read is set aside, unless its job can be ended.
        """
        # Not PgQueuer's `dequeue`: it decodes all rows or none.
        claim = self.claim(count)
        rows = await self._queries.driver.fetch(claim.sql, *claim.args)
        await self._note_turn(rows)
        entries = [(EntryId(int(str(row["id"]))), self._entry(row)) for row in rows]
        with suppress(DependencyUnavailable):  # then its lease runs out, and it comes again
            for entry_id in [entry_id for entry_id, entry in entries if entry is None]:
                await self._set_aside(entry_id)
        return [entry for _, entry in entries if entry is not None]

    def claim(self, count: int) -> ComposedQuery:
        """The statement that takes entries."""
        return self._queries.qbq.build_dequeue_query(
            batch_size=count,
            entrypoints=[QueueEntrypoint(self._place.entrypoint)],
            concurrency_limits=[0],
            queue_manager_id=self._owner,
            global_concurrency_limit=None,
            heartbeat_timeout=self._lease,
        )

    async def keep(self, entries: Collection[EntryId]) -> None:
        """Renews the lease."""
        await self._queries.update_heartbeat([JobId(entry) for entry in entries])

    async def finish(self, entry: Entry[AnyTask]) -> None:
        await self._queries.log_jobs([(entry.row, "successful", None)])

    async def retry(self, entry: Entry[AnyTask], delay: float) -> None:
        """Queues it again, one failure more."""
        await self._queries.retry_job(entry.row, timedelta(seconds=delay), None)

    async def postpone(self, entry: Entry[AnyTask], delay: float) -> None:
        """Queues it again for `delay` seconds from now; that is no failure."""
        async with acquire(self._pool) as connection:
            later = timedelta(seconds=delay)
            await connection.execute(self._on(POSTPONE), entry.id, self._owner, later)

    async def resume(self, entry: Entry[AnyTask]) -> None:
        """Notes that the postponed entry is begun again: from now on its worker may die of it."""
        async with acquire(self._pool) as connection:
            await connection.execute(self._on(RESUME), entry.id, self._owner)

    async def set_aside(self, entry: Entry[AnyTask]) -> None:
        """No worker takes it any more, and an operator sees it."""
        await self._set_aside(entry.id)

    async def hand_back(self, entry: Entry[AnyTask]) -> None:
        """Lets another worker take it at once."""
        async with acquire(self._pool) as connection:
            await connection.execute(self._on(HAND_BACK), entry.id, self._owner)
            await connection.execute(NOTIFY, self._place.channel, "")

    async def depth(self) -> dict[str, int]:
        """Entries by status: `queued`, `picked`, and `failed` for those that are set aside."""
        count = self._on(COUNT_BY_STATUS)
        rows: Sequence[dict[str, object]] = await self._queries.driver.fetch(count)
        counts = {str(row["status"]): int(str(row["count"])) for row in rows}
        return {"queued": 0, "picked": 0, "failed": 0} | counts

    async def forget_old_log(self) -> None:
        """PgQueuer logs every change of every entry, and never forgets by itself."""
        await self._queries.driver.execute(self._on(FORGET_LOG), LOG_KEPT)

    async def check(self) -> None:
        """Returns when Postgres has the queue."""
        await self._queries.driver.execute(self._on(LOOK))

    def _on(self, statement: str) -> str:
        return statement.format(schema=self._place.schema)

    async def _note_turn(self, rows: Sequence[dict[str, object]]) -> None:
        turn = max((-int(str(row["priority"])) for row in rows), default=0)
        if turn <= self._turn_noted:
            return
        # What is taken must be worked on: a turn that isn't noted costs a little fairness.
        with suppress(DependencyUnavailable):
            await self._queries.driver.execute(TURN_SERVED, self._place.schema, turn)
            self._turn_noted = turn

    async def _set_aside(self, entry_id: EntryId) -> None:
        async with acquire(self._pool) as connection:
            await connection.execute(self._on(SET_ASIDE), entry_id, self._owner)

    def _entry(self, taken: dict[str, object]) -> Entry[AnyTask] | None:
        task, row = None, None
        try:
            row = QueueRow.model_validate(taken)
            task = self._place.task_type.model_validate_json(row.payload or b"")
        except ValidationError as fault:
            at = _places(fault)
            log.error("entry_unreadable", queue=self._place.schema, entry=taken["id"], at=at)
        if row is None:
            return None
        if task is None:
            return self._remains(row)
        headers = row.headers or {}
        since = headers.get("postponedSince")
        return Entry(
            EntryId(row.id),
            task,
            row.attempts,
            row,
            row.updated.timestamp() - since if isinstance(since, int | float) else None,
            resumes=bool(headers.get("postponed")),
        )

    def _remains(self, row: QueueRow) -> Entry[AnyTask] | None:
        task = remains_of(self._place.task_type, row.payload or b"")
        if task is None:
            return None
        return Entry(EntryId(row.id), task, row.attempts, row, readable=False)


def _places(fault: ValidationError) -> list[str]:
    """Where and what, without the values."""
    return [f"{error['loc']}: {error['type']}" for error in fault.errors(include_url=False)]


def _queries(driver: AsyncpgDriver | AsyncpgPoolDriver, place: QueuePlace[AnyTask]) -> Queries:
    settings = place.settings
    return Queries(driver, QueryBuilderEnvironment(settings), QueryQueueBuilder(settings))


async def _add(queries: Queries, place: QueuePlace[AnyTask], task: AnyTask) -> bool:
    [row] = await queries.driver.fetch(TAKE_TURN, place.schema, task.organization_id)
    added = await queries.enqueue(
        QueueEntrypoint(place.entrypoint),
        task.model_dump_json(by_alias=True).encode(),
        priority=-int(str(row["turn"])),
        dedupe_key=task.job_id,
        on_conflict="skip",
    )
    return added[0] is not None
