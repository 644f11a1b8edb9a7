"""Connections for reading what one organization may see.

The second wall: each statement names the organization whose rows it wants, and Postgres shows it
no others, should one forget. The connections have a role under row-level security
(`influencerctl grants`) and are bound to an organization, again only when it is another than that
of the connection's last use.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import cast

import asyncpg

from services.core.postgres import ACQUIRE_TIMEOUT, Connection, Pool, acquire, database_faults

BIND = "select set_config('app.organization_id', $1, false)"


class BoundConnection(asyncpg.Connection):
    __slots__ = ("_organization_id",)

    async def bind(self, organization_id: str) -> None:
        if getattr(self, "_organization_id", None) == organization_id:
            return
        # Whether one that fails or is cancelled took effect isn't known.
        self._organization_id = None
        await self.fetchval(BIND, organization_id)
        self._organization_id = organization_id


@dataclass(frozen=True, slots=True)
class Readers:
    """`is_walled`: the pool's connections are BoundConnections, of a role behind the wall."""

    pool: Pool
    is_walled: bool = False

    def of(self, organization_id: str) -> AbstractAsyncContextManager[Connection]:
        """A connection, or DependencyUnavailable; faults inside the block are translated too."""
        return self._bound(organization_id) if self.is_walled else acquire(self.pool)

    @asynccontextmanager
    async def _bound(self, organization_id: str) -> AsyncIterator[Connection]:
        async with database_faults(), self.pool.acquire(timeout=ACQUIRE_TIMEOUT) as connection:
            await cast(BoundConnection, connection).bind(organization_id)
            yield cast(Connection, connection)
