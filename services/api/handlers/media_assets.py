"""Media assets: upload inline, get, list."""

from typing import Any, get_args

from aiohttp import web

from schemas.ids import Prefix
from schemas.uploads import INLINE_LIMIT, MediaKind, UploadMediaBody
from services.api.answers import READ_HEADERS, answer, json_body, read_answer
from services.api.asset_queries import asset_of, find_asset, list_assets, position_of_asset
from services.api.asset_recording import (
    Announced,
    ContentRefused,
    NotOfItsType,
    record_asset,
    store_content,
)
from services.api.calls import Call
from services.api.errors import FieldErrors, Invalid, NotFound, PayloadTooLarge
from services.api.records import asset_record

KINDS: tuple[str, ...] = get_args(MediaKind)


async def upload_media(call: Call) -> web.Response:
    project_id = await call.project_id()
    body = await call.body()
    _refuse_large(body.content)
    wanted = body.as_model(UploadMediaBody)
    announced = Announced(project_id, wanted.kind, wanted.mime_type, wanted.filename)
    try:
        asset = await store_content(call, announced, wanted.content)
    except ContentRefused as refusal:
        field = "mimeType" if isinstance(refusal, NotOfItsType) else "dataBase64"
        raise Invalid(fields={field: [str(refusal)]}) from None
    return await record_asset(call, project_id, asset, body)


def _refuse_large(content: Any) -> None:
    """Before anything else is said of the body."""
    text = content.get("dataBase64") if isinstance(content, dict) else None
    if isinstance(text, str) and len(text.rstrip("=")) * 3 // 4 >= INLINE_LIMIT:
        raise PayloadTooLarge(INLINE_LIMIT - 1)


async def get_media_asset(call: Call) -> web.Response:
    asset_id = call.identifier("assetId", Prefix.ASSET)
    async with call.reading() as connection:
        found = await find_asset(connection, call.organization_id, asset_id)
    if found is None:
        raise NotFound()
    # An asset never changes.
    return read_answer(call.request, asset_record(*found, call.api.urls), etag='"1"')


async def get_media_assets(call: Call) -> web.Response:
    project_id = await call.project_id()
    kind = call.request.query.get("kind")
    list_filter = f"media/{call.organization_id}/{project_id}/{kind}"
    asked = call.api.paginator.requested(call.request, list_filter, _faults_of_kind(kind))
    kinds = KINDS if kind is None else (kind,)
    async with call.reading() as connection:
        rows = await list_assets(connection, call.organization_id, project_id, kinds, asked)
    page = call.api.paginator.page(
        rows,
        asked,
        list_filter,
        item=lambda row: asset_record(*asset_of(row), call.api.urls),
        position=position_of_asset,
    )
    return answer(json_body(page), headers=READ_HEADERS)


def _faults_of_kind(kind: str | None) -> FieldErrors:
    if kind is None or kind in KINDS:
        return {}
    return {"kind": [f"Must be one of {', '.join(KINDS)}"]}
