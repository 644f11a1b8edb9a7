"""One open response of server-sent events, and what every one of them does.

(https://html.spec.whatwg.org/multipage/server-sent-events.html)

It keeps no events, however slow its client is: a client that takes nothing is cut off. Comments
keep a quiet one open; Postgres away is no reason to end one; a key that was revoked is, at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from types import MappingProxyType
from typing import TypeVar

import structlog
from aiohttp import web

from services.api.answers import READ_HEADERS
from services.api.calls import Call
from services.api.changes import Heard, Stopping, Subject
from services.api.connections import while_connected
from services.api.errors import NotFound, Unauthenticated, Unavailable
from services.core.errors import DependencyUnavailable

log = structlog.get_logger(__name__)

EVENT_STREAM = "text/event-stream"
HEADERS = MappingProxyType(
    {
        **READ_HEADERS,
        "Content-Type": f"{EVENT_STREAM}; charset=utf-8",
        "X-Accel-Buffering": "no",
    }
)
RETRY = b"retry: 3000\n\n"
COMMENT = b":\n\n"
COMMENT_INTERVAL = 15.0
WRITE_TIMEOUT = 10.0
"""Seconds in which a slow client must take what is written, or it is cut off."""
RETRY_DELAY = 1.0
RESUME_HEADER, RESUME_PARAMETER = "Last-Event-ID", "after"

Value = TypeVar("Value")


class OpenStream:
    """`changes` wakes it; what it reads it shares with others that read the same."""

    def __init__(self, call: Call, response: web.StreamResponse) -> None:
        self._call = call
        self._changes = call.api.changes
        self._response = response

    async def serve(self, follow: Callable[[], Awaitable[None]]) -> None:
        """Until `follow` ends, or until the client leaves or this process stops.

        Never raises: a second response can't follow on what is sent already.
        """
        self._call.seat.leave()
        try:
            async with while_connected(self._call.request, None):
                await self._whole(follow)
        except (TimeoutError, ConnectionError, Unavailable):  # it left, takes nothing, is too many
            self._abort()
        except Exception as fault:
            log.error("stream_failed", request_id=self._call.request_id, exc_info=fault)
            self._abort()

    async def _whole(self, follow: Callable[[], Awaitable[None]]) -> None:
        try:
            await self.write(RETRY)
            await follow()
        except (Stopping, Unauthenticated, NotFound):
            pass
        async with asyncio.timeout(WRITE_TIMEOUT):
            await self._response.write_eof()

    async def read(
        self, key: Hashable, read: Callable[[], Awaitable[Value]]
    ) -> tuple[Heard, Value]:
        """What `read` gives, shared with whoever reads by the same key; and `heard` before it."""
        return await self._patiently(partial(self._changes.shared, key, read))

    async def tell(self, events: bytes) -> None:
        """Writes `events`. Raises Unauthenticated when the key has been revoked meanwhile."""
        await self._patiently(self._call.require_key)
        await self.write(events)

    async def beyond(self, subject: Subject, after: int, heard: Heard) -> None:
        """Returns when there is more of `subject`; comments keep the stream alive.

        Raises Unauthenticated when the key has been revoked meanwhile.
        """
        while True:
            try:
                async with asyncio.timeout(COMMENT_INTERVAL) as wait:
                    with self._call.api.revocations.ending(self._call.key.key_id, wait):
                        return await self._changes.beyond(subject, after, heard)
            except TimeoutError:
                heard = self._changes.heard
                await self.tell(COMMENT)

    async def write(self, content: bytes) -> None:
        async with asyncio.timeout(WRITE_TIMEOUT):
            await self._response.write(content)

    async def _patiently(self, ask: Callable[[], Awaitable[Value]]) -> Value:
        """What `ask` gives as soon as Postgres answers: ending the stream would not help."""
        while True:
            try:
                return await ask()
            except DependencyUnavailable:
                await self.write(COMMENT)
                await asyncio.sleep(RETRY_DELAY)

    def _abort(self) -> None:
        transport = self._call.request.transport
        if transport is not None:
            transport.abort()


def stream_response(call: Call) -> web.StreamResponse:
    return web.StreamResponse(headers={**HEADERS, "X-Request-Id": call.request_id})


def message(event_id: str | None, event: str, data: bytes) -> bytes:
    """One message, without an id for None; `data` may have several lines."""
    lines = b"\ndata: ".join(data.splitlines())
    identified = f"id: {event_id}\n" if event_id else ""
    return f"{identified}event: {event}\ndata: ".encode() + lines + b"\n\n"
