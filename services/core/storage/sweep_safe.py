"""The object store for whoever writes to it: what was put stays, though a sweep runs beside it.

A sweep (`influencerctl media sweep`) deletes objects that are old and that no event names. Keys are
made from content, so somebody may put the same object again at that very moment, and name it in an
event right after. So a sweep first condemns what it is about to delete, in Postgres, and looks at
the object's time after that; and whoever has put an object looks whether it is condemned, and puts
it again if so. One of the two always sees the other (ADR 20).
"""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

from services.core.postgres import Pool, acquire
from services.core.storage.store import ByteRange, ObjectInfo, ObjectStore

# For share: waits for a sweep that is about to delete it.
FIND_CONDEMNED = """
select condemned_at from event_log.condemned_objects where object_key = $1 for share
"""
PARDON = "delete from event_log.condemned_objects where object_key = $1 and condemned_at = $2"


class SweepSafeStore:
    """An ObjectStore like the one within; `put` raises DependencyUnavailable too."""

    def __init__(self, store: ObjectStore, pool: Pool) -> None:
        self._store = store
        self._pool = pool

    async def put(self, key: str, content: bytes, content_type: str) -> None:
        condemned_at: datetime | None = None
        while True:
            await self._store.put(key, content, content_type)
            condemned_at = await self._condemned_since(key, condemned_at)
            if condemned_at is None:
                return

    async def _condemned_since(self, key: str, known: datetime | None) -> datetime | None:
        """When it was condemned; what was `known` before the last put is done with."""
        async with acquire(self._pool) as connection:
            if known is not None:
                await connection.execute(PARDON, key, known)
            found: datetime | None = await connection.fetchval(FIND_CONDEMNED, key)
        return found

    async def get(self, key: str, range: ByteRange | None = None) -> bytes:
        return await self._store.get(key, range)

    async def head(self, key: str) -> ObjectInfo:
        return await self._store.head(key)

    async def exists(self, key: str) -> bool:
        return await self._store.exists(key)

    def list(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        return self._store.list(prefix)

    async def delete(self, key: str) -> None:
        await self._store.delete(key)

    async def put_url(self, key: str, lifetime: timedelta) -> str | None:
        return await self._store.put_url(key, lifetime)
