"""How long a write may take; a handler that waits on purpose, or reads much, may ask for more.

Reads have no such limit: whatever they wait for is bounded where it is asked for (the pool, a
command of Postgres, the store, `Prefer: wait`), and a timer for each would cost them dearly.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

REQUEST_TIMEOUT = 20.0
READS = frozenset({"GET", "HEAD"})

_LIMIT: web.RequestKey[asyncio.Timeout] = web.RequestKey("time_limit", asyncio.Timeout)


@asynccontextmanager
async def time_limit(request: web.BaseRequest) -> AsyncIterator[None]:
    """Raises TimeoutError behind the limit."""
    async with asyncio.timeout(REQUEST_TIMEOUT) as limit:
        request[_LIMIT] = limit
        yield


def allow_seconds(request: web.BaseRequest, seconds: float) -> None:
    """From now on."""
    request[_LIMIT].reschedule(asyncio.get_running_loop().time() + seconds)
