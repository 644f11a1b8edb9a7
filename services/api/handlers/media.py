"""Image bytes from the store: by signature, or by a key of the organization in the path."""

import asyncio

from aiohttp import web

from services.api.admission import admit
from services.api.answers import is_current
from services.api.calls import Api
from services.api.errors import BadHttp, NotFound, Unavailable
from services.api.load_limit import Seat
from services.core.storage.errors import InvalidKey, ObjectNotFound, StorageUnavailable
from services.core.storage.media import mime_type_of
from services.core.storage.signing import verify

SCOPE = "media:read"
STORE_TIMEOUT = 20.0
IMMUTABLE = {
    "Cache-Control": "private, max-age=31536000, immutable",
    "Vary": "X-Api-Key, Authorization",
    "Accept-Ranges": "bytes",
    "X-Content-Type-Options": "nosniff",
}


async def get_media(api: Api, request: web.Request) -> web.Response:
    """200 with the whole object, 206 with a part of it, or 304.

    A bad signature is NotFound like any other name that isn't one.
    """
    object_key = request.match_info["key"]
    seat = await _access(api, request, object_key)
    try:
        return await _answer(api, request, object_key)
    finally:
        seat.leave()


async def _answer(api: Api, request: web.Request, object_key: str) -> web.Response:
    etag = f'"{object_key.rpartition("/")[2].partition(".")[0]}"'
    headers = {**IMMUTABLE, "ETag": etag, "Content-Type": mime_type_of(object_key)}
    if is_current(request, etag):
        return web.Response(status=304, headers=headers)
    try:
        async with asyncio.timeout(STORE_TIMEOUT):
            content = await api.store.get(object_key)
    except (ObjectNotFound, InvalidKey):
        raise NotFound() from None
    except StorageUnavailable:
        raise Unavailable() from None
    return _part(request, content, headers)


async def _access(api: Api, request: web.Request, object_key: str) -> Seat:
    """A seat of the organization whose object it is, which its key begins with.

    Raises NotFound, and what `admit` raises.
    """
    organization_id = object_key.partition("/")[0]
    if "signature" in request.query:
        expires, signature = request.query.get("expires", ""), request.query["signature"]
        now = int(api.clock().timestamp())
        if not verify(request.path, expires, signature, api.media_signing_key, now):
            raise NotFound()
        seat = Seat(api.load.reads, organization_id)
        await seat.take()
        return seat
    key, seat = await admit(api, request, SCOPE, "read")
    if organization_id != key.organization_id:
        seat.leave()
        raise NotFound()
    return seat


def _part(request: web.Request, content: bytes, headers: dict[str, str]) -> web.Response:
    """RFC 9110, 14: one range; what asks for more, or for something else, gets the whole."""
    wanted = _wanted_range(request, headers["ETag"])
    if wanted is None:
        return web.Response(body=content, headers=headers)
    total = len(content)
    start, stop, _ = wanted.indices(total)
    if start >= stop:
        raise BadHttp(416, "There is no such range.", {"Content-Range": f"bytes */{total}"})
    partial = {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{total}"}
    return web.Response(status=206, body=content[start:stop], headers=partial)


def _wanted_range(request: web.Request, etag: str) -> slice | None:
    if request.headers.get("If-Range", etag) != etag:
        return None
    try:
        wanted = request.http_range
    except ValueError:
        return None
    return wanted if wanted != slice(None, None, 1) else None
