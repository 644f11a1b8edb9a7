"""Who is calling: the API key of a request, looked up at most once every half second."""

import asyncio
from dataclasses import dataclass, field

from aiohttp import web

from services.api.errors import ForbiddenScope, Overloaded, Unauthenticated
from services.core.clock import Clock
from services.core.controlplane import ApiKey, find_key, hash_of, key_id_of
from services.core.postgres import Pool, acquire

CACHED_FOR = 0.5
"""Seconds; a revocation is in force on every replica within 1 s."""
MAXIMUM_CACHED = 10_000
MAXIMUM_KEY_LENGTH = 128
LOOK_UPS_AT_ONCE = 100
"""Of keys that nobody has heard of just now: strangers make up any number of them."""
NOBODY = ApiKey("", bytes(32), "", "", (), "standard", None, None)


@dataclass(slots=True)
class ApiKeys:
    pool: Pool
    clock: Clock
    _cache: dict[str, tuple[float, "asyncio.Task[ApiKey | None]"]] = field(default_factory=dict)
    _looking_up: int = 0

    async def authenticate(self, request: web.BaseRequest) -> ApiKey:
        """The key of the request. Raises Unauthenticated, Overloaded, DependencyUnavailable."""
        presented = presented_key(request)
        key_id = key_id_of(presented) if presented else None
        if presented is None or key_id is None:
            raise Unauthenticated()
        key = await self._find(key_id)
        # An unknown key is compared as well: it takes as long as a revoked one.
        valid = (key or NOBODY).is_valid(hash_of(presented), self.clock())
        if key is None or not valid:
            raise Unauthenticated()
        return key

    def forget(self, key_id: str) -> None:
        """Its next request looks it up again."""
        self._cache.pop(key_id, None)

    async def _find(self, key_id: str) -> ApiKey | None:
        now = asyncio.get_running_loop().time()
        until, task = self._cache.get(key_id, (0.0, None))
        if task is None or until <= now or _failed(task):
            if task is None and self._looking_up >= LOOK_UPS_AT_ONCE:
                raise Overloaded()
            if len(self._cache) >= MAXIMUM_CACHED:
                self._cache.clear()
            task = asyncio.create_task(self._look_up(key_id))
            self._cache[key_id] = (now + CACHED_FOR, task)
        return await asyncio.shield(task)

    async def _look_up(self, key_id: str) -> ApiKey | None:
        self._looking_up += 1
        try:
            async with acquire(self.pool) as connection:
                return await find_key(connection, key_id)
        finally:
            self._looking_up -= 1


def presented_key(request: web.BaseRequest) -> str | None:
    """The key as it was sent: `X-Api-Key` decides, else `Authorization: Bearer`."""
    keys = request.headers.getall("X-Api-Key", []) or _bearer_tokens(request)
    if len(keys) != 1 or len(keys[0]) > MAXIMUM_KEY_LENGTH or not keys[0].isascii():
        return None
    return keys[0]


def _bearer_tokens(request: web.BaseRequest) -> list[str]:
    sent = [value.partition(" ") for value in request.headers.getall("Authorization", [])]
    return [token.strip() for scheme, _, token in sent if scheme.lower() == "bearer"]


def require_scope(key: ApiKey, scope: str | None) -> None:
    """Deny by default. Raises ForbiddenScope."""
    if scope is not None and not key.allows(scope):
        raise ForbiddenScope(scope)


def _failed(task: "asyncio.Task[ApiKey | None]") -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
