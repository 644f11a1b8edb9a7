"""From bytes to a media asset: looked at, stored, and only then said on the log.

The same bytes twice in a project are one asset, on however many replicas: whoever records holds a
lock on that content in Postgres while it looks for the asset and appends it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from schemas.events import Event, MediaAssetUploaded
from schemas.ids import Prefix
from schemas.uploads import MediaKind
from services.api.answers import READ_HEADERS, json_body
from services.api.asset_queries import AssetRecord, find_uploaded
from services.api.bodies import Body
from services.api.calls import Call
from services.api.idempotency import claim_of
from services.api.records import MediaUrls, asset_record
from services.core.clock import timestamp
from services.core.domain.errors import CommandRefused
from services.core.domain.media import (
    MediaAssetAlreadyExists,
    MediaAssetStream,
    UploadMediaAsset,
)
from services.core.eventlog.idempotency_keys import claiming
from services.core.eventlog.requests import Respond, RespondToRefusal, StoredResponse
from services.core.postgres import Connection, acquire
from services.core.storage.errors import ImageUnreadable
from services.core.storage.media import (
    StoredFile,
    StoredImage,
    mime_type_of,
    store_file,
    store_inspected,
)
from services.core.storage.sound_and_film import sound_or_film_of

LOCK_CONTENT = "select pg_advisory_xact_lock(hashtextextended($1, 0))"
NOT_DECODED = frozenset({"video", "audio"})


@dataclass(frozen=True, slots=True)
class Announced:
    """What a client says of a file of a project."""

    project_id: str
    kind: MediaKind
    mime_type: str
    filename: str | None


class ContentRefused(Exception):
    """The bytes are not what they should be."""


class NotOfItsType(ContentRefused):
    """They are fine, but of another type than was said."""


async def store_content(call: Call, announced: Announced, content: bytes) -> MediaAssetUploaded:
    """The asset, new and not yet on the log; its bytes are durable.

    Raises ContentRefused, StorageUnavailable, DependencyUnavailable.
    """
    call.seat.leave()  # few at once have a turn at what follows
    if announced.kind in NOT_DECODED:
        return _described(call, announced, await _store_file(call, announced, content))
    return _described(call, announced, await _store_image(call, announced, content))


async def _store_file(call: Call, announced: Announced, content: bytes) -> StoredFile:
    mime_type = sound_or_film_of(content)
    if mime_type is None:
        raise ContentRefused(f"The bytes are no {announced.kind} that we know")
    _require_type(announced, mime_type)
    return await store_file(
        call.api.store, call.organization_id, announced.project_id, content, mime_type
    )


async def _store_image(call: Call, announced: Announced, content: bytes) -> StoredImage:
    try:
        async with call.api.inspections.turn(call.organization_id):
            image = await call.api.inspector.inspect(content)
    except ImageUnreadable as fault:
        raise ContentRefused(f"Not a readable image: {fault.reason}") from fault
    _require_type(announced, mime_type_of(f".{image.extension}"))
    return await store_inspected(call.api.store, call.organization_id, announced.project_id, image)


def _require_type(announced: Announced, mime_type: str) -> None:
    if mime_type != announced.mime_type:
        raise NotOfItsType(f"The bytes are {mime_type}")


def _described(
    call: Call, announced: Announced, stored: StoredImage | StoredFile
) -> MediaAssetUploaded:
    prefix = f"{call.api.urls.base_url}/media/"
    return MediaAssetUploaded(
        asset_id=call.api.ids.new(Prefix.ASSET),
        kind=announced.kind,
        mime_type=stored.mime_type,
        size_bytes=stored.size_bytes,
        sha256=stored.sha256,
        width=stored.width,
        height=stored.height,
        filename=announced.filename,
        url=prefix + stored.key,
        thumbnail_url=prefix + stored.thumbnail_key if stored.thumbnail_key else None,
        created_at=timestamp(call.api.clock()),
    )


async def record_asset(
    call: Call, project_id: str, asset: MediaAssetUploaded, body: Body
) -> web.Response:
    """201 with the asset, or with the one that these bytes are already."""
    async with _alone_with(call, project_id, asset.sha256, body) as connection:
        found = await find_uploaded(connection, call.organization_id, project_id, asset.sha256)
        if found:
            return await answer_recorded(call, found, body)
        command = UploadMediaAsset(call.organization_id, project_id, asset)
        created = _created(call.api.urls)
        return await call.append(command, call.canonical_path(), body, created, is_fresh=True)


async def answer_recorded(call: Call, known: AssetRecord, body: Body) -> web.Response:
    """201 with an asset that is there; kept for an idempotency key like the first answer."""
    command = UploadMediaAsset(call.organization_id, known.project_id, known.asset)
    urls = call.api.urls
    return await call.append(
        command, call.canonical_path(), body, _created(urls), _already(known, urls)
    )


@asynccontextmanager
async def _alone_with(
    call: Call, project_id: str, sha256: str, body: Body
) -> AsyncIterator[Connection]:
    content = f"media/{call.organization_id}/{project_id}/{sha256}"
    claim = claim_of(call.request, call.organization_id, call.canonical_path(), body)
    async with (
        call.api.recording.turn(call.organization_id),
        acquire(call.api.pool) as connection,
        claiming(connection, claim),
    ):
        await connection.execute(LOCK_CONTENT, content)
        yield connection


def _created(urls: MediaUrls) -> Respond:
    def respond(state: MediaAssetStream, _: tuple[Event, ...]) -> StoredResponse:
        assert state.asset is not None
        assert state.project_id is not None
        return _answer(AssetRecord(state.project_id, state.asset), urls)

    return respond


def _already(known: AssetRecord, urls: MediaUrls) -> RespondToRefusal:
    def respond(refusal: CommandRefused) -> StoredResponse | None:
        return _answer(known, urls) if isinstance(refusal, MediaAssetAlreadyExists) else None

    return respond


def _answer(known: AssetRecord, urls: MediaUrls) -> StoredResponse:
    headers = {**READ_HEADERS, "Location": f"/v1/media/{known.asset.asset_id}"}
    return StoredResponse(201, headers, json_body(asset_record(*known, urls)))
