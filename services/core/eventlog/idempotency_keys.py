"""Idempotency keys are kept for 24 hours, then forgotten, a few at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg
import orjson

from services.core.errors import DependencyUnavailable
from services.core.eventlog.append import IDEMPOTENCY_KEPT
from services.core.eventlog.group_commit import CLAIM_LOCK_TIMEOUT
from services.core.eventlog.requests import (
    IdempotencyClaim,
    IdempotencyKeyBusy,
    IdempotencyKeyReused,
    StoredResponse,
)
from services.core.postgres import Connection, Pool, acquire

BATCH = 5_000
INTERVAL = 5.0

FORGET = f"""
delete from event_log.idempotency_keys k
using (
    select organization_id, scope, idempotency_key from event_log.idempotency_keys
    where created_at < now() - interval '{IDEMPOTENCY_KEPT}'
    order by created_at limit $1
    for update skip locked
) as expired
where k.organization_id = expired.organization_id and k.scope = expired.scope
  and k.idempotency_key = expired.idempotency_key
"""

FIND = f"""
select request_hash, status, headers, body from event_log.idempotency_keys
where organization_id = $1 and scope = $2 and idempotency_key = $3
  and created_at > now() - interval '{IDEMPOTENCY_KEPT}'
"""


KEEP = f"""
insert into event_log.idempotency_keys as k
    (organization_id, scope, idempotency_key, request_hash, status, headers, body)
values ($1, $2, $3, $4, $5, $6::json, $7)
on conflict (organization_id, scope, idempotency_key) do update
    set request_hash = excluded.request_hash, status = excluded.status,
        headers = excluded.headers, body = excluded.body, created_at = excluded.created_at
    where k.created_at <= now() - interval '{IDEMPOTENCY_KEPT}'
returning true
"""


@asynccontextmanager
async def claiming(connection: Connection, claim: IdempotencyClaim | None) -> AsyncIterator[None]:
    """A transaction whose statements wait for another request with the key as long as they may.

    Without a claim they wait no longer than usual. Raises IdempotencyKeyBusy.
    """
    try:
        async with connection.transaction():
            if claim is not None:
                milliseconds = int(CLAIM_LOCK_TIMEOUT * 1000)
                await connection.execute(f"set local lock_timeout = {milliseconds}")
            yield
    except asyncpg.LockNotAvailableError as fault:
        if claim is None:
            raise
        raise IdempotencyKeyBusy(claim) from fault


async def keep_response(
    connection: Connection, claim: IdempotencyClaim, response: StoredResponse
) -> bool:
    """Keeps the answer of a request that appends nothing, in the transaction of what it does.

    False when the key is taken; waits for a request that is just taking it.
    """
    kept = await connection.fetchval(
        KEEP,
        claim.organization_id,
        claim.scope,
        claim.key,
        claim.request_hash,
        response.status,
        orjson.dumps(dict(response.headers)).decode(),
        response.body,
    )
    return kept is not None


async def find_kept_response(
    connection: Connection, claim: IdempotencyClaim
) -> StoredResponse | None:
    """What this very request was answered before. Raises IdempotencyKeyReused."""
    row = await connection.fetchrow(FIND, claim.organization_id, claim.scope, claim.key)
    if row is None:
        return None
    if row["request_hash"] != claim.request_hash:
        raise IdempotencyKeyReused(claim)
    return StoredResponse(row["status"], orjson.loads(row["headers"]), row["body"])


async def forget_expired_keys(pool: Pool) -> None:
    """Runs for ever; several processes may run it at once."""
    while True:
        with suppress(DependencyUnavailable):
            async with acquire(pool) as connection:
                await connection.execute(FORGET, BATCH)
        await asyncio.sleep(INTERVAL)
