"""How many events may wait in the outbox before no more are taken on.

While Kafka is away, the outbox grows with every request that is accepted. It is bounded by
configuration, so that it ends in a clear refusal and not in a full disk.
"""

import asyncio

import structlog

from services.core.errors import DependencyUnavailable
from services.core.postgres import Pool, acquire

log = structlog.get_logger(__name__)

LOOK_INTERVAL = 0.5

# Ids leave out few numbers, so their range tells cheaply that the bound is far.
COUNT = """
select case when (select max(outbox_id) - min(outbox_id) + 1 from event_log.outbox) < $1 then 0
    else (select count(*) from (select from event_log.outbox limit $1) as counted)
end
"""


class OutboxBound:
    """`is_full` is as of the last look; what was accepted since then goes beyond the bound."""

    def __init__(self, pool: Pool, limit: int) -> None:
        self._pool = pool
        self._limit = limit
        self.is_full = False

    async def run(self) -> None:
        """Looks for ever; while Postgres is away, nothing can be appended anyway."""
        while True:
            try:
                await self.look()
            except DependencyUnavailable as fault:
                log.info("outbox_unknown", cause=str(fault))
            await asyncio.sleep(LOOK_INTERVAL)

    async def look(self) -> None:
        """Raises DependencyUnavailable."""
        async with acquire(self._pool) as connection:
            was_full, count = self.is_full, await connection.fetchval(COUNT, self._limit)
        self.is_full = count >= self._limit
        if self.is_full != was_full:
            log.warning("outbox_full" if self.is_full else "outbox_has_room", limit=self._limit)
