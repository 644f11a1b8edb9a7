"""The append: every event of the service comes to be here and nowhere else.

One Postgres transaction takes a batch of commands that arrived together: locks their streams, looks
up their idempotency keys, decides, and writes kept responses, streams, outbox and (for the api) the
rows that a client must see at once. Each command keeps its own outcome. A batch in which every
stream is new needs no look first: one statement writes it, and tells which keys were taken.
"""

import zlib
from collections.abc import Sequence
from importlib.resources import files
from typing import NamedTuple

import orjson

from schemas.events import Event, headers_of, value_of
from schemas.ids import IdentifierSource
from services.core.clock import Clock
from services.core.domain.aggregates import StreamState, aggregate_of
from services.core.domain.state import InfluencerStream
from services.core.eventlog.plan import (
    ClaimKey,
    ClaimToKeep,
    KeptResponse,
    Plan,
    StreamKey,
    claim_key,
    plan_batch,
    stream_key,
)
from services.core.eventlog.requests import (
    AppendRequest,
    IdempotencyClaim,
    Outcome,
    StoredResponse,
)
from services.core.failpoints import fail_point
from services.core.postgres import Connection
from services.core.readmodel.rows import (
    columns,
    state_json,
)

SLOTS = 256
IDEMPOTENCY_KEPT = "24 hours"

FIND_KEPT_RESPONSES = f"""
select organization_id, scope, idempotency_key, request_hash, status, headers, body
from event_log.idempotency_keys
join unnest($1::uuid[], $2::text[], $3::text[])
    as claimed(organization_id, scope, idempotency_key)
    using (organization_id, scope, idempotency_key)
where created_at > now() - interval '{IDEMPOTENCY_KEPT}'
"""

LOCK_STREAMS = """
select s.organization_id, s.stream_id, s.state
from event_log.streams s
join unnest($1::uuid[], $2::text[]) as wanted(organization_id, stream_id)
    using (organization_id, stream_id)
order by s.organization_id, s.stream_id
for update of s
"""

# One statement after another: what the count sees begins behind the lock.
TRY_LOCK_JOBS = """
select wanted.organization_id
from (select unnest($1::text[]) as organization_id order by 1) as wanted
where pg_try_advisory_xact_lock(
    hashtextextended('jobs at once ' || wanted.organization_id, 0))
"""

COUNT_JOBS = """
select wanted.organization_id, (
    select count(*) from read_model.jobs j
    where j.organization_id = wanted.organization_id::uuid and j.status = 'running'
)
from unnest($1::text[]) as wanted(organization_id)
"""

FIND_STREAM = """
select state from event_log.streams where organization_id = $1 and stream_id = $2
"""

WRITE = files(__package__).joinpath("append.sql").read_text()


class Raced(Exception):
    """Another transaction made the stream or took the key meanwhile: decide again on what it left.

    Nothing of the command happened.
    """


async def append_batch(
    connection: Connection,
    requests: Sequence[AppendRequest],
    *,
    clock: Clock,
    ids: IdentifierSource,
    write_read_models: bool,
    lock_timeout: float | None = None,
) -> list[Outcome | Exception]:
    """Appends `requests` in one transaction; the outcomes are in their order.

    An outcome is an exception where a command was refused, or Raced or JobsUncounted where it must
    be tried again.
    Whatever is raised means that nothing of the batch happened (or, when the connection broke while
    it committed, that it is unknown); Raced and a unique violation, that it must be tried again.
    `lock_timeout` is in seconds, the pool's if None.
    """
    if all(request.is_fresh and request.jobs_at_most is None for request in requests):
        plan = plan_batch(requests, {}, {}, clock, ids)
        fail_point("append.before_commit")
        written = await _write(connection, plan, write_read_models)
        fail_point("append.after_commit")
        return _after_races(plan, requests, written)
    async with connection.transaction():
        if lock_timeout is not None:
            await connection.execute(f"set local lock_timeout = {int(lock_timeout * 1000)}")
        running = await _count_jobs(connection, requests)
        streams = await _lock_streams(connection, requests)
        # After the locks: whoever made or changed a stream has left its kept response too.
        kept = await _find_kept(connection, requests)
        plan = plan_batch(requests, streams, kept, clock, ids, running)
        written = await _write(connection, plan, write_read_models)
        if written.streams < plan.changed.keys() or written.lost_claims:
            raise Raced
        fail_point("append.before_commit")
    fail_point("append.after_commit")
    return plan.outcomes


async def find_state(
    connection: Connection, organization_id: str, stream_id: str
) -> StreamState | None:
    """The write side's state of any aggregate's stream, as of the last commit."""
    state = await connection.fetchval(FIND_STREAM, organization_id, stream_id)
    return aggregate_of(stream_id).state_type.model_validate_json(state) if state else None


async def find_stream(
    connection: Connection, organization_id: str, influencer_id: str
) -> InfluencerStream | None:
    """The write side's state of a stream, as of the last commit."""
    state = await connection.fetchval(FIND_STREAM, organization_id, influencer_id)
    return InfluencerStream.model_validate_json(state) if state else None


def slot_of(key: str) -> int:
    """Which of the outbox's slots a Kafka key belongs to: 0 to 255, fixed for ever."""
    return zlib.crc32(key.encode()) % SLOTS


async def _count_jobs(connection: Connection, requests: Sequence[AppendRequest]) -> dict[str, int]:
    """The running jobs of the organizations that are held to a limit, and are theirs alone now.

    Nobody waits here: what another transaction holds up must not hold up the rest of the batch.
    """
    limited = {r.command.organization_id for r in requests if r.jobs_at_most is not None}
    if not limited:
        return {}
    locked = [row[0] for row in await connection.fetch(TRY_LOCK_JOBS, list(limited))]
    if not locked:
        return {}
    return {row[0]: row[1] for row in await connection.fetch(COUNT_JOBS, locked)}


async def _find_kept(
    connection: Connection, requests: Sequence[AppendRequest]
) -> dict[ClaimKey, KeptResponse]:
    claims = {claim_key(r.idempotency) for r in requests if r.idempotency}
    if not claims:
        return {}
    rows = await connection.fetch(FIND_KEPT_RESPONSES, *columns(claims, 3))
    return {
        ClaimKey(str(row["organization_id"]), row["scope"], row["idempotency_key"]): KeptResponse(
            row["request_hash"],
            StoredResponse(row["status"], orjson.loads(row["headers"]), row["body"]),
        )
        for row in rows
    }


async def _lock_streams(
    connection: Connection, requests: Sequence[AppendRequest]
) -> dict[StreamKey, StreamState]:
    wanted = {stream_key(request) for request in requests}
    rows = await connection.fetch(LOCK_STREAMS, *columns(wanted, 2))
    return {
        StreamKey(str(row["organization_id"]), row["stream_id"]): (
            aggregate_of(row["stream_id"]).state_type.model_validate_json(row["state"])
        )
        for row in rows
    }


class _Written(NamedTuple):
    streams: set[StreamKey]
    lost_claims: set[ClaimKey]


async def _write(connection: Connection, plan: Plan, write_read_models: bool) -> _Written:
    written = _Written(set(), set())
    if not plan.changed and not plan.claims:
        return written
    rows = await connection.fetch(
        WRITE,
        *columns((_claim_row(claim) for claim in plan.claims), 8),
        *columns((_stream_row(plan, key) for key in plan.changed), 5),
        *columns((_outbox_row(event) for event in plan.events), 6),
        *columns(((key, state_json(job)) for key, job in plan.replaced_jobs), 2),
        write_read_models,
    )
    for kind, organization_id, stream_id, scope, key in rows:
        if kind == "written":
            written.streams.add(StreamKey(str(organization_id), stream_id))
        else:
            written.lost_claims.add(ClaimKey(str(organization_id), scope, key))
    return written


def _stream_row(plan: Plan, key: StreamKey) -> tuple[str, str, int, int, str]:
    state = plan.streams[key]
    return (*key, plan.found_at[key], state.sequence, state_json(state))


def _outbox_row(event: Event) -> tuple[str, int, str, str, str, bytes]:
    return (
        event.id,
        slot_of(event.key),
        aggregate_of(event.subject).topic,
        event.key,
        orjson.dumps(headers_of(event)).decode(),
        value_of(event),
    )


def _claim_row(kept: ClaimToKeep) -> tuple[str, str, str, str, bytes, int, str, bytes]:
    claim: IdempotencyClaim = kept.claim
    return (
        *kept.stream,
        claim.scope,
        claim.key,
        claim.request_hash,
        kept.response.status,
        orjson.dumps(dict(kept.response.headers)).decode(),
        kept.response.body,
    )


def _after_races(
    plan: Plan, requests: Sequence[AppendRequest], written: _Written
) -> list[Outcome | Exception]:
    if not written.lost_claims:
        return plan.outcomes
    return [
        Raced() if _lost(request, written) else outcome
        for request, outcome in zip(requests, plan.outcomes, strict=True)
    ]


def _lost(request: AppendRequest, written: _Written) -> bool:
    claim = request.idempotency
    return claim is not None and claim_key(claim) in written.lost_claims
