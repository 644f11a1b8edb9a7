"""How many jobs an organization may have running at once, by the tier of the key that asks.

`read_model.jobs` says how many run: a job's row is there as soon as its 202, and stays running
until the projector has seen its end. An organization that is far below its limit is admitted on a
count that is up to a second old. Near it, the append counts in its own transaction, under the
organization's advisory lock, over all replicas: exact.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from services.core.controlplane import ApiKey, Tier
from services.core.eventlog.append import IDEMPOTENCY_KEPT
from services.core.eventlog.requests import IdempotencyClaim, TooManyJobs
from services.core.postgres import Connection, Pool, acquire

JOBS_AT_ONCE: Mapping[Tier, int | None] = MappingProxyType(
    {"standard": 20, "pilot": 100, "partner": 1_000, "internal": None}
)
NEAR = 100
"""Jobs below the limit. More than so many would have to start elsewhere within `COUNTED_FOR` to
get past the limit on an old count."""
COUNTED_FOR = 1.0
"""Seconds."""
MAXIMUM_COUNTED = 10_000

COUNT = """
select count(*) from read_model.jobs where organization_id = $1 and status = 'running'
"""
IS_KEPT = f"""
select exists (
    select from event_log.idempotency_keys
    where organization_id = $1 and scope = $2 and idempotency_key = $3
      and created_at > now() - interval '{IDEMPOTENCY_KEPT}'
)
"""


@dataclass(slots=True)
class _Counted:
    """How many jobs ran at `at`, and how many were started here since."""

    running: int
    at: float


@dataclass(slots=True)
class JobsAtOnce:
    pool: Pool
    _counted: dict[str, _Counted] = field(default_factory=dict)

    async def require_room(
        self, key: ApiKey, claim_of_request: Callable[[], IdempotencyClaim | None]
    ) -> None:
        """Raises TooManyJobs when as many jobs run as the organization may have.

        Not where the request's claim says that it only repeats what was done before.
        """
        limit = JOBS_AT_ONCE[key.tier]
        if limit is None or self._is_far(key.organization_id, limit):
            return
        async with acquire(self.pool) as connection:
            running = await self._count(connection, key.organization_id)
            if running >= limit and not await _is_kept(connection, claim_of_request()):
                raise TooManyJobs(limit)

    def at_most(self, key: ApiKey) -> int | None:
        """What the append that starts one more job has to count up to; None: it needs no count."""
        limit = JOBS_AT_ONCE[key.tier]
        if limit is None or not self._is_far(key.organization_id, limit):
            return limit
        self._counted[key.organization_id].running += 1
        return None

    def _is_far(self, organization_id: str, limit: int) -> bool:
        counted = self._counted.get(organization_id)
        now = asyncio.get_running_loop().time()
        if counted is None or counted.at + COUNTED_FOR <= now:
            return False
        return counted.running + NEAR < limit

    async def _count(self, connection: Connection, organization_id: str) -> int:
        at = asyncio.get_running_loop().time()
        running: int = await connection.fetchval(COUNT, organization_id)
        if len(self._counted) >= MAXIMUM_COUNTED:
            self._counted.clear()
        self._counted[organization_id] = _Counted(running, at)
        return running


async def _is_kept(connection: Connection, claim: IdempotencyClaim | None) -> bool:
    if claim is None:
        return False
    kept: bool = await connection.fetchval(IS_KEPT, claim.organization_id, claim.scope, claim.key)
    return kept
