"""Replicas tell one another what they have charged, so that a key's limit holds over all of them.

In the background, through one small table: no request waits for it. Until the others know, each
replica admits by its own count, so a burst over n replicas that all had room may get through up to
n times; what it used counts everywhere within `INTERVAL` and is missing from the next minute.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import orjson

from services.api.rate_limits import WINDOW, RateLimits
from services.core.errors import DependencyUnavailable
from services.core.postgres import Pool, acquire

INTERVAL = 0.5
"""Seconds."""
KEPT = 2 * WINDOW
"""Seconds that a message, and the place reached in a replica's messages, are remembered."""

EXCHANGE = f"""
with published as (
    insert into control.rate_limit_charges (replica, position, charges)
    select $1, $2, $3::jsonb where $3 is not null
    on conflict do nothing
), forgotten as (
    delete from control.rate_limit_charges where (replica, position) in (
        select replica, position from control.rate_limit_charges
        where charged_at < now() - interval '{KEPT} seconds'
        order by charged_at limit 1000
        for update skip locked
    )
)
select c.replica, c.position, c.charges
from control.rate_limit_charges c
left join unnest($4::uuid[], $5::bigint[]) as seen(replica, position) using (replica)
where c.replica <> $1 and c.charged_at > now() - interval '{WINDOW} seconds'
  and c.position > coalesce(seen.position, 0)
order by c.replica, c.position
"""


@dataclass(slots=True)
class RateLimitExchange:
    """One replica's part in the exchange."""

    pool: Pool
    limits: RateLimits
    _replica: UUID = field(default_factory=uuid4)
    _position: int = 0
    _message: str | None = None
    _seen: dict[UUID, tuple[int, float]] = field(default_factory=dict)

    async def run(self) -> None:
        """For ever. What can't be told while Postgres is away is told when it is back."""
        while True:
            with suppress(DependencyUnavailable):
                await self.exchange()
            self.limits.forget()
            await asyncio.sleep(INTERVAL)

    async def exchange(self) -> None:
        """Tells what was charged here, and counts what the others tell."""
        if self._message is None:
            self._message = self._next_message()
        async with acquire(self.pool) as connection:
            rows = await connection.fetch(
                EXCHANGE,
                self._replica,
                self._position,
                self._message,
                list(self._seen),
                [position for position, _ in self._seen.values()],
            )
        self._message = None
        self._forget_replicas()
        for row in rows:
            self._count(row["replica"], row["position"], row["charges"])

    def _next_message(self) -> str | None:
        charged = self.limits.take_unpublished()
        if not charged:
            return None
        self._position += 1
        return orjson.dumps(charged).decode()

    def _count(self, replica: UUID, position: int, charges: str) -> None:
        self._seen[replica] = (position, self.limits.clock())
        for key_id, limit_class, count in orjson.loads(charges):
            self.limits.add_published(key_id, limit_class, count)

    def _forget_replicas(self) -> None:
        since = self.limits.clock() - KEPT
        self._seen = {replica: seen for replica, seen in self._seen.items() if seen[1] > since}
