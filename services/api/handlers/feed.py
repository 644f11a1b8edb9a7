"""`GET /v1/events`: everything that happens in the organization, for those without Kafka.

As a page that may wait for what is next, or as server-sent events without an end.
"""

from collections.abc import Iterator
from functools import partial

import orjson
from aiohttp import web

from services.api.accept import prefers
from services.api.answers import READ_HEADERS, answer, json_body
from services.api.calls import Call
from services.api.changes import Heard
from services.api.errors import Unavailable
from services.api.feed import FeedPage, FeedRequest, begun, feed_of, read_page, requested
from services.api.feed_cursor import FeedPosition
from services.api.feed_query import FeedFilter
from services.api.open_stream import EVENT_STREAM, OpenStream, message, stream_response
from services.api.preferences import acknowledge, preferred_wait

EVENTS_AT_ONCE = 100


async def get_feed(call: Call) -> web.StreamResponse:
    """Raises Invalid, and Unavailable when too many streams are open."""
    if prefers(call.request, EVENT_STREAM):
        return await _stream(call)
    asked = requested(call, resumable=False)
    page = await _held(call, asked, await begun(call, asked.after))
    content = {
        "items": [orjson.Fragment(event.content) for event in page.events],
        "nextCursor": call.api.feed_cursors.text(call.organization_id, page.position),
        "hasMore": page.has_more,
    }
    return acknowledge(call.request, answer(json_body(content), headers=READ_HEADERS))


async def _held(call: Call, asked: FeedRequest, position: FeedPosition) -> FeedPage:
    """The next page; when the client prefers to wait, one that has events.

    Those who wait at the same place share what they read.
    """
    heard = call.api.changes.heard
    page = await read_page(call, position, asked.wanted, asked.limit)
    seconds = preferred_wait(call.request)
    if seconds is None or page.events:
        return page
    async with call.waiting(seconds):
        while not page.events:
            if not page.has_more:
                await call.api.changes.beyond(feed_of(call), page.sequence, heard)
            cursor = call.api.feed_cursors.text(call.organization_id, page.position)
            heard, page = await call.api.changes.shared(
                ("feed-page", cursor, asked.wanted, asked.limit),
                partial(read_page, call, page.position, asked.wanted, asked.limit),
            )
    return page


async def _stream(call: Call) -> web.StreamResponse:
    asked = requested(call, resumable=True)
    position = await begun(call, asked.after)
    response = stream_response(call)
    if call.request.method == "HEAD":
        return web.Response(headers=response.headers)
    places = call.api.feed_streams
    if places.locked():
        raise Unavailable()
    async with places:
        await response.prepare(call.request)
        await _FeedStream(call, asked.wanted, response).serve(position)
    return response


class _FeedStream:
    """What one open stream tells. It keeps a position and no events."""

    def __init__(self, call: Call, wanted: FeedFilter, response: web.StreamResponse) -> None:
        self._call = call
        self._wanted = wanted
        self._stream = OpenStream(call, response)

    async def serve(self, position: FeedPosition) -> None:
        """Until the client leaves or this process stops; never raises."""
        await self._stream.serve(partial(self._follow, position))

    async def _follow(self, position: FeedPosition) -> None:
        await self._stream.write(_position(self._cursor(position)))
        while True:
            heard, page, content = await self._next(position)
            if content:
                await self._stream.tell(content)
            position = page.position
            if not page.has_more:
                await self._stream.beyond(feed_of(self._call), page.sequence, heard)

    async def _next(self, position: FeedPosition) -> tuple[Heard, FeedPage, bytes]:
        """What follows, asked and written once for all who are at the same position."""

        async def read() -> tuple[FeedPage, bytes]:
            page = await read_page(self._call, position, self._wanted, EVENTS_AT_ONCE)
            return page, b"".join(self._messages(position, page))

        key = ("feed-stream", self._cursor(position), self._wanted)
        heard, (page, content) = await self._stream.read(key, read)
        return heard, page, content

    def _messages(self, position: FeedPosition, page: FeedPage) -> Iterator[bytes]:
        """Each event with the cursor behind it; at last that of the page, which may be further."""
        reached = dict(position)
        for event in page.events:
            reached[event.partition] = event.seen
            yield message(self._cursor(reached), event.type, event.content)
        if reached != page.position:
            yield _position(self._cursor(page.position))

    def _cursor(self, position: FeedPosition) -> str:
        return self._call.api.feed_cursors.text(self._call.organization_id, position)


def _position(cursor: str) -> bytes:
    """What a client that comes back will name, though there is no event."""
    return f"id: {cursor}\n\n".encode()
