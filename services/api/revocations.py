"""Who waits is told when its key is revoked, or expires: nothing else would wake it.

One query for all keys that wait; a key's own lookup (`ApiKeys`) then says that it is none.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from services.api.authentication import ApiKeys
from services.core.errors import DependencyUnavailable
from services.core.postgres import Pool, acquire

INTERVAL = 0.4
"""Seconds: with the query, well within the second in which a revocation is in force."""

FIND_ENDED = """
select waiting.key_id
from unnest($1::text[]) as waiting(key_id) left join control.api_keys k using (key_id)
where k.key_id is null or k.revoked_at is not null or k.expires_at <= now()
"""


class Revocations:
    """`run` beside the server."""

    def __init__(self, pool: Pool, keys: ApiKeys) -> None:
        self._pool = pool
        self._keys = keys
        self._waits: dict[str, set[asyncio.Timeout]] = {}

    @contextmanager
    def ending(self, key_id: str, wait: asyncio.Timeout) -> Iterator[None]:
        """In the block, `wait` ends when the key does."""
        waits = self._waits.setdefault(key_id, set())
        waits.add(wait)
        try:
            yield
        finally:
            waits.discard(wait)
            if not waits:
                self._waits.pop(key_id, None)

    async def run(self) -> None:
        """For ever."""
        while True:
            with suppress(DependencyUnavailable):
                await self.look()
            await asyncio.sleep(INTERVAL)

    async def look(self) -> None:
        """Raises DependencyUnavailable."""
        if not self._waits:
            return
        async with acquire(self._pool) as connection:
            ended = await connection.fetch(FIND_ENDED, list(self._waits))
        for (key_id,) in ended:
            self._keys.forget(key_id)
            for wait in self._waits.get(key_id, ()):
                if not wait.expired():
                    wait.reschedule(asyncio.get_running_loop().time())
