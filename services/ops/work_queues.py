"""The queues of the workers as an operator sees them: PgQueuer's tables, in our workers' words.

An entry is a job that waits for a worker or is worked on. It leaves the queue when its job has
ended, and only a worker takes it out: so a job is canceled on its stream, like any client does it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import orjson

from services.core.postgres import Connection

State = Literal["due", "delayed", "held", "silent", "unreadable"]
STATES: tuple[State, ...] = get_args(State)
"""`due`: a worker may take it now. `delayed`: until its next attempt. `held`: by a worker whose
lease is fresh. `silent`: by one that has not renewed it, so that the next look takes it over.
`unreadable`: set aside by a worker that could neither do nor end the job."""


@dataclass(frozen=True, slots=True)
class Queue:
    """Its tables are in `schema`; workers listen on `channel`."""

    name: str
    schema: str
    channel: str


QUEUES = (
    Queue("render", schema="render_queue", channel="render_queue"),
    Queue("content", schema="content", channel="content_queue"),
)

FIND_QUEUE = "select to_regclass($1) is not null"
LIST_ENTRIES = """
with entries as (
    select q.id, q.dedupe_key as job_id, q.payload, q.attempts, q.queue_manager_id::text as worker,
           j.kind, j.status as job_status,
           extract(epoch from clock_timestamp() - q.created)::float8 as age,
           extract(epoch from q.execute_after - clock_timestamp())::float8 as due_in,
           extract(epoch from clock_timestamp() - q.heartbeat)::float8 as silent_for,
           case when q.status = 'failed' then 'unreadable'
                when q.status = 'picked'
                then case when q.heartbeat < clock_timestamp() - $1::float8 * interval '1 second'
                          then 'silent' else 'held' end
                else case when q.execute_after > clock_timestamp() then 'delayed' else 'due' end
           end as state
    from {schema}.pgqueuer q
    left join read_model.jobs j on j.job_id = q.dedupe_key
    where q.status in ('queued', 'picked', 'failed')
        and ($2::text[] is null or q.dedupe_key = any($2))
)
select * from entries where state = any($3::text[]) order by id limit $4
"""

# What the worker itself does when it hands an entry back; one that is held is left alone.
RETRY_NOW = """
update {schema}.pgqueuer q set status = 'queued', execute_after = now(), updated = now()
where dedupe_key = any($1::text[]) and (
    status = 'queued' and execute_after > now()
    or status = 'failed' and not exists (
        select from {schema}.pgqueuer other
        where other.dedupe_key = q.dedupe_key and other.status in ('queued', 'picked'))
)
returning dedupe_key
"""
FORGET_SET_ASIDE = """
delete from {schema}.pgqueuer where dedupe_key = any($1::text[]) and status = 'failed'
"""
WAKE_WORKERS = "select pg_notify($1, '')"


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """`attempts` counts the renders that failed; seconds throughout. `worker` holds the lease."""

    queue: str
    entry_id: int
    job_id: str
    organization_id: str | None
    influencer_id: str | None
    kind: str | None
    job_status: str | None
    state: State
    age: float
    attempts: int
    due_in: float | None
    worker: str | None
    silent_for: float | None

    def as_json(self) -> dict[str, Any]:
        return {
            "queue": self.queue,
            "entryId": self.entry_id,
            "jobId": self.job_id,
            "organizationId": self.organization_id,
            "influencerId": self.influencer_id,
            "kind": self.kind,
            "jobStatus": self.job_status,
            "state": self.state,
            "ageSeconds": round(self.age, 1),
            "attempts": self.attempts,
            "dueInSeconds": None if self.due_in is None else round(self.due_in, 1),
            "worker": self.worker,
            "silentForSeconds": None if self.silent_for is None else round(self.silent_for, 1),
        }


async def list_entries(
    connection: Connection,
    *,
    lease: float,
    states: Collection[State] = STATES,
    job_ids: Sequence[str] | None = None,
    limit: int | None = None,
) -> list[QueueEntry]:
    """Of all queues, oldest first; `lease` is how many seconds a worker may be silent."""
    wanted = None if job_ids is None else list(job_ids)
    entries: list[QueueEntry] = []
    for queue in await _queues(connection):
        query = LIST_ENTRIES.format(schema=queue.schema)
        rows = await connection.fetch(query, lease, wanted, list(states), limit)
        entries += [_entry(queue, row) for row in rows]
    return sorted(entries, key=lambda entry: -entry.age)[:limit]


async def retry_now(connection: Connection, job_ids: Sequence[str]) -> set[str]:
    """Lets workers take entries that are delayed or set aside; those it was done for."""
    found: set[str] = set()
    for queue in await _queues(connection):
        rows = await connection.fetch(RETRY_NOW.format(schema=queue.schema), list(job_ids))
        await connection.execute(WAKE_WORKERS, queue.channel)
        found |= {row["dedupe_key"] for row in rows}
    return found


async def forget_set_aside(connection: Connection, job_ids: Sequence[str]) -> None:
    """Removes what no worker will ever take out: unreadable entries of jobs that have ended."""
    for queue in await _queues(connection):
        await connection.execute(FORGET_SET_ASIDE.format(schema=queue.schema), list(job_ids))


async def _queues(connection: Connection) -> list[Queue]:
    """Those that this installation has."""
    return [
        queue
        for queue in QUEUES
        if await connection.fetchval(FIND_QUEUE, f"{queue.schema}.pgqueuer")
    ]


def _entry(queue: Queue, row: Any) -> QueueEntry:
    task = _task(row["payload"])
    is_held = row["worker"] is not None and row["state"] in ("held", "silent")
    return QueueEntry(
        queue=queue.name,
        entry_id=row["id"],
        job_id=row["job_id"] or "",
        organization_id=task.get("organizationId"),
        influencer_id=task.get("influencerId"),
        kind=row["kind"],
        job_status=row["job_status"],
        state=row["state"],
        age=row["age"],
        attempts=row["attempts"],
        due_in=row["due_in"] if row["state"] == "delayed" else None,
        worker=row["worker"] if is_held else None,
        silent_for=row["silent_for"] if is_held else None,
    )


def _task(payload: bytes | None) -> dict[str, Any]:
    try:
        task = orjson.loads(payload or b"{}")
    except orjson.JSONDecodeError:
        return {}
    return task if isinstance(task, dict) else {}
