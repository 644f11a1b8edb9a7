"""aiohttp's server with the bounds that it lacks, and without telling what it is made of.

Slow clients, and clients that hold many connections, cost memory and file descriptors for as long
as they like (https://owasp.org/API-Security/editions/2023/en/0xa4-unrestricted-resource-consumption/).
"""

import asyncio
import resource
from collections.abc import Callable
from functools import partial
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from prometheus_client import Counter

HEAD_TIMEOUT = 10.0
"""Seconds for the head of a request: from the connection's start for its first one, else from the
first byte that is not yet a whole head."""
MAXIMUM_HEAD = 64 * 1024
"""Bytes of a head that is not whole yet; aiohttp alone would keep a mebibyte."""
SLOW_READER_CHECKED = 20.0
"""Seconds in which a client must take SLOWEST_READER times as many bytes of its answer."""
SLOWEST_READER = 16 * 1024
"""Bytes a second: a second in which an image of 20 MiB is not read costs us 20 MiB."""
MAXIMUM_CONNECTIONS = 25_000
OTHER_FILES = 500
"""File descriptors for everything that is no client's connection."""

CUT_OFF = Counter("http_connections_cut_off_total", "Connections ended by us, by why.", ["reason"])


class BoundedConnection(RequestHandler):
    """A connection that is cut off when its client is too slow, or when there are too many."""

    __slots__ = ("_head_size", "_head_timer", "_reader_timer")

    _head_size: int
    _head_timer: asyncio.TimerHandle | None
    _reader_timer: asyncio.TimerHandle | None

    def __init__(self, manager: web.Server, **options: Any) -> None:
        super().__init__(manager, **options)
        self._head_timer = self._reader_timer = None
        self._head_size = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._manager is not None and len(self._manager._connections) > connection_limit():
            self._cut_off("too many")
        else:
            self._begin_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._end_head()
        self._end_reading()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._messages:
            self._end_head()
        elif self._waits_for_head():
            self._more_head(len(data))

    def _more_head(self, size: int) -> None:
        if self._head_timer is None:
            self._begin_head()
        self._head_size += size
        if self._head_size > MAXIMUM_HEAD:
            self._cut_off("large head")

    def _waits_for_head(self) -> bool:
        return self._waiter is not None and not self._waiter.done()

    def _begin_head(self) -> None:
        self._head_size = 0
        self._head_timer = self._loop.call_later(HEAD_TIMEOUT, self._head_is_late)

    def _end_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._waits_for_head():
            self._cut_off("slow head")

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        self._end_reading()
        super().resume_writing()

    def _watch_reader(self) -> None:
        self._reader_timer = self._loop.call_later(
            SLOW_READER_CHECKED, self._check_reader, self._unread()
        )

    def _check_reader(self, unread_before: int) -> None:
        if unread_before - self._unread() >= SLOWEST_READER * SLOW_READER_CHECKED:
            self._watch_reader()
            return
        self._reader_timer = None
        self._cut_off("slow reader")

    def _cut_off(self, reason: str) -> None:
        """Now, whatever has not been read yet."""
        CUT_OFF.labels(reason).inc()
        if self.transport is not None:
            self.transport.abort()
        self.force_close()

    def _end_reading(self) -> None:
        if self._reader_timer is not None:
            self._reader_timer.cancel()
            self._reader_timer = None

    def _unread(self) -> int:
        return self.transport.get_write_buffer_size() if self.transport is not None else 0


class NamelessRequest(web.Request):
    """Its answer names neither us nor our versions."""

    async def _prepare_hook(self, resp: web.StreamResponse) -> None:
        resp.headers.popall("Server", None)
        await super()._prepare_hook(resp)


class BoundedServer(web.Server):
    """aiohttp's, of bounded connections and nameless answers."""

    def __init__(self, like: web.Server, handler: Any = None) -> None:
        request_factory: Callable[..., web.BaseRequest] = like.request_factory
        super().__init__(
            handler or like.request_handler,
            request_factory=partial(request_factory, _cls=NamelessRequest),
            loop=asyncio.get_running_loop(),
            **like._kwargs,
        )

    def __call__(self) -> RequestHandler:
        return BoundedConnection(self, loop=self._loop, **self._kwargs)


class BoundedRunner(web.AppRunner):
    """aiohttp's, with a bounded server."""

    async def _make_server(self) -> web.Server:
        return self._bounded(await super()._make_server())

    def _bounded(self, server: web.Server) -> BoundedServer:
        return BoundedServer(server)


def connection_limit() -> int:
    """How many clients may be connected at once: file descriptors are left for the rest."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAXIMUM_CONNECTIONS if files < 0 else min(MAXIMUM_CONNECTIONS, files - OTHER_FILES)


def allow_many_files() -> None:
    """As many as the system lets this process have: the usual limit is for programs of old."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
