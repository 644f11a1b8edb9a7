"""What a path names, found in the read models before anything else of a request is looked at."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import wraps
from typing import Any, NamedTuple

from aiohttp import web
from pydantic import ValidationError

from schemas.ids import Prefix
from schemas.images import ReferenceImage
from services.api.calls import Call, answer_of
from services.api.errors import ApiError, NotFound, UnknownReference
from services.api.idempotency import claim_of
from services.api.queries import InfluencerRecord, find_assets, find_influencer
from services.core.clock import timestamp
from services.core.eventlog.idempotency_keys import find_kept_response
from services.core.eventlog.requests import IdempotencyClaim, Replayed

Handler = Callable[[Call], Awaitable[web.Response]]


async def influencer_of(call: Call) -> InfluencerRecord:
    """The path's influencer. Raises NotFound, also when it was deleted."""
    influencer_id = call.identifier("influencerId", Prefix.INFLUENCER)
    async with call.reading() as connection:
        found = await find_influencer(connection, call.organization_id, influencer_id)
    if found is None:
        raise NotFound()
    return found


def repeatable(handler: Handler) -> Handler:
    """A request that is repeated with its key gets its first answer, even if what it was about is
    gone since."""

    @wraps(handler)
    async def handle(call: Call) -> web.Response:
        try:
            return await handler(call)
        except (NotFound, UnknownReference):
            replayed = await _replayed(call)
            if replayed is None:
                raise
            return answer_of(replayed)

    return handle


async def _replayed(call: Call) -> Replayed | None:
    claim = await _claim(call)
    if claim is None:
        return None
    async with call.reading() as connection:
        kept = await find_kept_response(connection, claim)
    return Replayed(kept) if kept else None


async def _claim(call: Call) -> IdempotencyClaim | None:
    try:
        body = await call.body(required=False)
        return claim_of(call.request, call.organization_id, call.canonical_path(), body)
    except ApiError:
        return None


class Uploaded(NamedTuple):
    """The images by asset id; and what is wrong with the other ids, by the path of each."""

    images: dict[str, ReferenceImage]
    not_images: dict[str, list[str]]
    not_there: dict[str, list[str]]


async def uploaded_images(call: Call, project_id: str, named: Mapping[str, str]) -> Uploaded:
    """The project's images among those `named`, asset ids by path, as they join an influencer."""
    found = await _assets(call, project_id, list(named.values())) if named else {}
    now = timestamp(call.api.clock())
    uploaded = Uploaded({}, {}, {})
    for path, asset_id in named.items():
        if asset_id not in found:
            uploaded.not_there[path] = ["Not a media asset of this project"]
            continue
        joined = {**found[asset_id], "assetId": asset_id, "source": "uploaded", "addedAt": now}
        try:
            uploaded.images[asset_id] = ReferenceImage.model_validate(joined)
        except ValidationError:
            uploaded.not_images[path] = ["Not an image"]
    return uploaded


async def _assets(
    call: Call, project_id: str, asset_ids: Sequence[str]
) -> dict[str, dict[str, Any]]:
    async with call.reading() as connection:
        return await find_assets(connection, call.organization_id, project_id, asset_ids)
