"""The history of an influencer: its events, oldest first."""

from typing import Any

import asyncpg
import orjson
from aiohttp import web

from schemas.events import newest_data
from services.api.answers import READ_HEADERS, answer, json_body
from services.api.calls import Call
from services.api.history_query import list_events
from services.api.lookups import influencer_of
from services.api.pagination import Position
from services.api.records import MediaUrls
from services.core.clock import timestamp


async def get_events(call: Call) -> web.Response:
    influencer_id = (await influencer_of(call)).influencer.influencer_id
    list_filter = f"events/{call.organization_id}/{influencer_id}"
    asked = call.api.paginator.requested(call.request, list_filter)
    async with call.reading() as connection:
        rows = await list_events(connection, call.organization_id, influencer_id, asked)
    page = call.api.paginator.page(
        rows,
        asked,
        list_filter,
        item=lambda row: event_record(row, call.api.urls),
        position=lambda row: Position(row["occurred_at"], str(row["sequence"])),
    )
    return answer(json_body(page), headers=READ_HEADERS)


def event_record(row: asyncpg.Record, urls: MediaUrls) -> dict[str, Any]:
    return {
        "eventId": row["event_id"],
        "type": row["type"],
        "time": timestamp(row["occurred_at"]),
        "data": _with_signed_images(_newest_data(row), urls),
    }


def _newest_data(row: asyncpg.Record) -> dict[str, Any]:
    """The row has the data as it is on the log; a record doesn't tell versions apart."""
    data = newest_data(row["type"], row["version"], row["data"].encode())
    return dict(orjson.loads(data))


def _with_signed_images(data: dict[str, Any], urls: MediaUrls) -> dict[str, Any]:
    """Images are in these fields, of whichever type the event is."""
    signed = dict(data)
    if "image" in data:
        signed["image"] = _signed(data["image"], urls)
    for field in ("images", "referenceImages"):
        if field in data:
            signed[field] = [_signed(image, urls) for image in data[field]]
    return signed


def _signed(image: dict[str, Any], urls: MediaUrls) -> dict[str, Any]:
    return {
        **image,
        "url": urls.signed(image["url"]),
        "thumbnailUrl": urls.signed(image["thumbnailUrl"]),
    }
