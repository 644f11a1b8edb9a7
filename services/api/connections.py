"""The connection of a request: when it is begun, and what happens when its client leaves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from services.api.ingress import Ingress
from services.core.http_server import BoundedConnection


class ApiConnection(BoundedConnection):
    """A connection whose requests come in by turns, and whose wait ends when the client leaves:
    aiohttp lets a handler run on."""

    __slots__ = ("_held_back", "_ingress", "wait")

    wait: asyncio.Timeout | None

    def __init__(self, ingress: Ingress, manager: web.Server, **options: Any) -> None:
        super().__init__(manager, **options)
        self._ingress = ingress
        self._held_back: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        if self._held_back:
            self._held_back.append(data)
        elif self._waits_for_head():
            self._held_back.append(data)
            self._ingress.begin(self._begin)
        else:
            super().data_received(data)

    def _begin(self) -> None:
        held_back, self._held_back = self._held_back, []
        if self.transport is not None:
            super().data_received(b"".join(held_back))

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        wait = getattr(self, "wait", None)
        if wait is not None and not wait.expired():
            wait.reschedule(asyncio.get_running_loop().time())


@asynccontextmanager
async def while_connected(
    request: web.Request, seconds: float | None
) -> AsyncIterator[asyncio.Timeout]:
    """TimeoutError in the block after `seconds` (None: never), or when the client has left."""
    connection = request.protocol
    assert isinstance(connection, ApiConnection)
    async with asyncio.timeout(seconds if request.transport else 0) as wait:
        connection.wait = wait
        try:
            yield wait
        finally:
            connection.wait = None
