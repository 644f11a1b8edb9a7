"""Uploads of up to 20 MiB: announced, PUT to a signed URL, finalized."""

import asyncio
from contextlib import suppress
from hashlib import sha256
from tempfile import SpooledTemporaryFile

import orjson
from aiohttp import web

from schemas.ids import Prefix
from schemas.uploads import MAXIMUM_UPLOAD, FinalizeUploadBody, PresignUploadBody
from services.api.answers import NO_STORE, answer, json_body
from services.api.asset_queries import AssetRecord, find_recorded
from services.api.asset_recording import (
    Announced,
    ContentRefused,
    answer_recorded,
    record_asset,
    store_content,
)
from services.api.bodies import Body
from services.api.calls import Api, Call, answer_of
from services.api.errors import BadHttp, Conflict, Invalid, NotFound, PayloadTooLarge
from services.api.idempotency import claim_of
from services.api.time_limit import allow_seconds
from services.api.uploads import (
    LIFETIME,
    Upload,
    find_upload,
    finish_upload,
    insert_upload,
    organization_of,
    signing_key,
    url_of,
)
from services.core.clock import timestamp
from services.core.eventlog.idempotency_keys import (
    claiming,
    find_kept_response,
    keep_response,
)
from services.core.eventlog.requests import IdempotencyClaim, Replayed, StoredResponse
from services.core.postgres import acquire
from services.core.storage.errors import ObjectNotFound, StorageUnavailable
from services.core.storage.signing import verify

UPLOAD_TIMEOUT = 120.0
"""Seconds for all of it: 20 MiB at 1.4 Mbit/s."""
FINALIZE_TIMEOUT = 40.0
"""Seconds, for others' turns too: few large files are looked at at once."""
IN_MEMORY = 256 * 1024
CHUNK = 256 * 1024


async def presign_upload(call: Call) -> web.Response:
    project_id = await call.project_id()
    body = await call.body()
    wanted = body.as_model(PresignUploadBody)
    claim = claim_of(call.request, call.organization_id, call.canonical_path(), body)
    upload = _announced(call, project_id, wanted)
    response = StoredResponse(201, NO_STORE, json_body(await _instructions(call.api, upload)))
    replayed = await _insert(call.api, upload, claim, response)
    return answer_of(replayed) if replayed else _answered(response)


def _announced(call: Call, project_id: str, wanted: PresignUploadBody) -> Upload:
    return Upload(
        upload_id=call.api.ids.new(Prefix.UPLOAD),
        organization_id=call.organization_id,
        project_id=project_id,
        kind=wanted.kind,
        mime_type=wanted.mime_type,
        size_bytes=wanted.size_bytes,
        sha256=wanted.checksum_sha256,
        filename=wanted.filename,
        expires_at=call.api.clock().replace(microsecond=0) + LIFETIME,
    )


async def _instructions(api: Api, upload: Upload) -> dict[str, object]:
    return {
        "uploadId": upload.upload_id,
        "url": await url_of(api, upload),
        "method": "PUT",
        "headers": {"Content-Type": upload.mime_type},
        "expiresAt": timestamp(upload.expires_at),
    }


async def _insert(
    api: Api, upload: Upload, claim: IdempotencyClaim | None, response: StoredResponse
) -> Replayed | None:
    """Raises IdempotencyKeyReused, IdempotencyKeyBusy."""
    async with acquire(api.pool) as connection, claiming(connection, claim):
        if claim is not None and not await keep_response(connection, claim, response):
            kept = await find_kept_response(connection, claim)
            assert kept is not None
            return Replayed(kept)
        await insert_upload(connection, upload)
    return None


async def put_upload(api: Api, request: web.Request) -> web.Response:
    """Takes the bytes; the signature alone says who may. They are looked at when finalized."""
    expires, signature = request.query.get("expires", ""), request.query.get("signature", "")
    now = int(api.clock().timestamp())
    if not verify(request.path, expires, signature, signing_key(api), now):
        raise NotFound()
    allow_seconds(request, UPLOAD_TIMEOUT)
    if (request.content_length or 0) > MAXIMUM_UPLOAD:
        raise PayloadTooLarge(MAXIMUM_UPLOAD)
    object_key = request.path.removeprefix("/media/")
    # On disk while it arrives: a thousand slow clients must not fill the memory.
    with SpooledTemporaryFile(IN_MEMORY) as spool:
        await _receive(request, spool, api.body_timeout)
        async with api.transfers.turn(organization_of(object_key)):
            content = await asyncio.to_thread(_whole, spool)
            await api.store.put(object_key, content, request.content_type)
    return web.Response(headers={"Cache-Control": "no-store"})


async def _receive(
    request: web.Request, spool: "SpooledTemporaryFile[bytes]", stalled_after: float
) -> None:
    size = 0
    try:
        while chunk := await _chunk(request, stalled_after):
            size += len(chunk)
            if size > MAXIMUM_UPLOAD:
                raise PayloadTooLarge(MAXIMUM_UPLOAD)
            await asyncio.to_thread(spool.write, chunk)
    except web.RequestPayloadError:
        raise BadHttp() from None
    except (TimeoutError, ConnectionError):
        raise Invalid(form=["The body did not arrive in time"]) from None
    if not size:
        raise Invalid(form=["The body is empty"])


async def _chunk(request: web.Request, stalled_after: float) -> bytes:
    async with asyncio.timeout(stalled_after):
        return await request.content.read(CHUNK)


def _whole(spool: "SpooledTemporaryFile[bytes]") -> bytes:
    spool.seek(0)
    return spool.read()


async def finalize_upload(call: Call) -> web.Response:
    project_id = await call.project_id()
    body = await call.body()
    upload = await _upload(call, project_id, body)
    if upload.asset_id is None and upload.expires_at <= call.api.clock():
        raise _invalid("The upload has expired")
    response = None
    if upload.asset_id is None:
        allow_seconds(call.request, FINALIZE_TIMEOUT)
        response = await _recorded(call, upload, body)
    return response or await _recorded_before(call, project_id, body)


async def _upload(call: Call, project_id: str, body: Body) -> Upload:
    """The one that the body names. Raises Invalid."""
    upload, faults = None, {}
    for field, upload_id in body.named("uploadId", Prefix.UPLOAD).items():
        async with call.reading() as connection:
            upload = await find_upload(connection, call.organization_id, project_id, upload_id)
        if upload is None:
            faults[field] = ["Not an upload of this project"]
    body.as_model(FinalizeUploadBody, faults)
    assert upload is not None
    return upload


async def _recorded(call: Call, upload: Upload, body: Body) -> web.Response | None:
    """None when the bytes aren't there: not yet, or not any more."""
    announced = Announced(upload.project_id, upload.kind, upload.mime_type, upload.filename)
    call.seat.leave()  # few at once have a turn at what follows
    try:
        async with call.api.transfers.turn(call.organization_id):
            content = await _uploaded(call.api, upload)
            asset = await store_content(call, announced, content)
    except ObjectNotFound:
        return None
    except ContentRefused as refusal:
        raise _invalid(str(refusal)) from None
    response = await record_asset(call, upload.project_id, asset, body)
    async with acquire(call.api.pool) as connection:
        await finish_upload(connection, upload.upload_id, _asset_id(response))
    with suppress(StorageUnavailable):  # what is left is removed when the upload is forgotten
        await call.api.store.delete(upload.object_key)
    return response


async def _recorded_before(call: Call, project_id: str, body: Body) -> web.Response:
    """Raises Conflict."""
    upload = await _upload(call, project_id, body)
    known = await _known(call, upload.asset_id) if upload.asset_id else None
    if known is None:
        raise Conflict("Nothing was uploaded yet.", details={"uploadId": upload.upload_id})
    return await answer_recorded(call, known, body)


async def _known(call: Call, asset_id: str) -> AssetRecord | None:
    async with call.reading() as connection:
        return await find_recorded(connection, call.organization_id, asset_id)


async def _uploaded(api: Api, upload: Upload) -> bytes:
    """Raises ObjectNotFound, and Invalid when it isn't what was announced."""
    size = (await api.store.head(upload.object_key)).size_bytes
    if size > MAXIMUM_UPLOAD:
        raise _invalid(f"More than {MAXIMUM_UPLOAD} bytes were uploaded")
    if upload.size_bytes not in (None, size):
        raise _invalid(f"{upload.size_bytes} bytes were announced, {size} uploaded")
    content = await api.store.get(upload.object_key)
    if upload.sha256 not in (None, sha256(content).hexdigest()):
        raise _invalid("The SHA-256 of the uploaded bytes is not the one that was announced")
    return content


def _asset_id(response: web.Response) -> str:
    assert isinstance(response.body, bytes)
    return str(orjson.loads(response.body)["assetId"])


def _invalid(message: str) -> Invalid:
    return Invalid(fields={"uploadId": [message]})


def _answered(response: StoredResponse) -> web.Response:
    return answer(response.body, response.status, response.headers)
