"""Uploads by a signed URL: announced, PUT, finalized."""

import asyncio
import errno
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from tempfile import SpooledTemporaryFile
from typing import Any

import aiohttp
import pytest

from services.api.uploads import forget_uploads
from services.core.controlplane import create_project
from services.core.storage.errors import StorageUnavailable
from services.core.storage.store import open_object_store
from tests.integration.api.calling import Answer, Caller, new_caller
from tests.integration.api.conftest import NewCaller
from tests.integration.api.pictures import (
    film,
    finalize,
    media_of,
    photo_of_somewhere,
    picture,
    presign,
    upload,
)
from tests.integration.api.serving import Service, serving
from tests.integration.api.test_media import MovingClock, nobody
from tests.integration.api.test_media_assets import FIELDS, count_assets

LARGE = 20 * 1024 * 1024


async def put(caller: Caller, announced: Any, content: Any) -> Answer:
    """As somebody without a key does it."""
    return await nobody(caller).send(
        announced["method"], announced["url"], content, headers=announced["headers"]
    )


async def uploaded(caller: Caller, content: bytes, **fields: Any) -> str:
    """The id of an upload whose bytes are there."""
    announced = await presign(caller, **fields)
    assert (await put(caller, announced, content)).status == 200
    return str(announced["uploadId"])


async def test_an_announced_file_becomes_an_asset(caller: Caller) -> None:
    content = picture(size=(1500, 900))
    announced = await presign(
        caller,
        sizeBytes=len(content),
        checksumSha256=sha256(content).hexdigest().upper(),
        filename="large.png",
    )
    assert announced.keys() == {"uploadId", "url", "method", "headers", "expiresAt"}
    assert announced["method"] == "PUT"
    assert announced["headers"] == {"Content-Type": "image/png"}
    assert (await put(caller, announced, content)).status == 200
    answer = await finalize(caller, announced["uploadId"])
    assert answer.status == 201
    asset = answer.json
    assert asset.keys() == FIELDS
    assert (asset["sha256"], asset["width"]) == (sha256(content).hexdigest(), 1500)
    assert (await nobody(caller).get(asset["url"])).body == content
    assert (await caller.get(f"/v1/media/{asset['assetId']}")).json == asset


async def test_finalizing_again_gives_the_same_asset(caller: Caller, service: Service) -> None:
    upload_id = await uploaded(caller, picture())
    first = await finalize(caller, upload_id)
    for spelling in (upload_id, upload_id.lower(), upload_id.removeprefix("upl_")):
        again = await finalize(caller, spelling)
        assert (again.status, again.json) == (201, first.json)
    assert await count_assets(service, caller) == (1, 1)
    staged = service.store.list(f"uploads/{caller.organization_id}")
    assert [found async for found in staged] == []


async def test_finalizing_at_once_on_two_replicas_gives_one_asset(
    caller: Caller, service: Service, replica: Service
) -> None:
    upload_id = await uploaded(caller, picture("coral"))
    answers = await asyncio.gather(
        *(finalize(each, upload_id) for each in [caller, caller.at(replica)] * 4)
    )
    assert {answer.status for answer in answers} == {201}
    assert len({answer.json["assetId"] for answer in answers}) == 1
    assert await count_assets(service, caller) == (1, 1)


async def test_the_bytes_of_an_inline_upload_are_the_same_asset(caller: Caller) -> None:
    inline_asset = await upload(caller, picture())
    answer = await finalize(caller, await uploaded(caller, picture(), kind="reference_image"))
    assert answer.json["assetId"] == inline_asset["assetId"]


async def test_before_the_bytes_are_there_it_is_a_conflict(caller: Caller) -> None:
    announced = await presign(caller)
    for _ in range(2):
        answer = await finalize(caller, announced["uploadId"])
        assert (answer.status, answer.code) == (409, "CONFLICT")
    await put(caller, announced, picture())
    assert (await finalize(caller, announced["uploadId"])).status == 201


async def test_what_was_announced_is_held_to(caller: Caller, service: Service) -> None:
    content = picture()
    for fields, message in (
        ({"sizeBytes": len(content) + 1}, "announced"),
        ({"checksumSha256": "0" * 64}, "SHA-256"),
        ({"mimeType": "image/jpeg"}, "The bytes are image/png"),
        ({"kind": "video", "mimeType": "video/mp4"}, "no video"),
    ):
        answer = await finalize(caller, await uploaded(caller, content, **fields))
        [fault] = answer.field_errors["uploadId"]
        assert message in fault
    assert await count_assets(service, caller) == (0, 0)


async def test_other_bytes_may_be_put_until_it_is_finalized(caller: Caller) -> None:
    announced = await presign(caller)
    await put(caller, announced, b"not an image")
    assert (await finalize(caller, announced["uploadId"])).field_errors.keys() == {"uploadId"}
    await put(caller, announced, picture("red"))
    asset = (await finalize(caller, announced["uploadId"])).json
    await put(caller, announced, picture("green"))
    assert (await finalize(caller, announced["uploadId"])).json == asset
    assert (await caller.get(asset["url"])).body == picture("red")


async def test_where_a_photo_was_taken_is_not_kept(caller: Caller) -> None:
    content = photo_of_somewhere()
    checksum = sha256(content).hexdigest()
    upload_id = await uploaded(
        caller, content, mimeType="image/jpeg", checksumSha256=checksum, sizeBytes=len(content)
    )
    asset = (await finalize(caller, upload_id)).json
    assert b"SECRET" not in (await caller.get(asset["url"])).body


async def test_an_upload_is_its_projects_alone(
    caller: Caller, new: NewCaller, service: Service
) -> None:
    upload_id = await uploaded(caller, picture())
    async with service.pool.acquire() as connection:
        project_id = await create_project(connection, caller.organization_id, "Other")  # type: ignore[arg-type]
    beside = await new(organization_id=caller.organization_id, project_id=project_id)
    for other in (beside, await new()):
        answer = await finalize(other, upload_id)
        assert answer.field_errors == {"uploadId": ["Not an upload of this project"]}
    unknown = await finalize(caller, "upl_00000000000000000000000000")
    assert unknown.field_errors == {"uploadId": ["Not an upload of this project"]}
    assert (await finalize(caller, "nonsense")).field_errors.keys() == {"uploadId"}


@pytest.mark.parametrize(
    ("fields", "faults"),
    [
        ({"sizeBytes": 0}, {"sizeBytes"}),
        ({"sizeBytes": LARGE + 1}, {"sizeBytes"}),
        ({"sizeBytes": "1"}, {"sizeBytes"}),
        ({"checksumSha256": "abc"}, {"checksumSha256"}),
        ({"kind": "x", "mimeType": "y", "z": 1}, {"kind", "mimeType", "z"}),
        ({"dataBase64": "YQ=="}, {"dataBase64"}),
    ],
)
async def test_a_wrong_announcement_is_refused(
    caller: Caller, fields: dict[str, Any], faults: set[str]
) -> None:
    body = {"kind": "image", "mimeType": "image/png", **fields}
    answer = await caller.post(f"{media_of(caller)}/presign", body)
    assert answer.field_errors.keys() == faults


async def test_the_largest_file_fits_and_one_byte_more_does_not(
    caller: Caller, http: aiohttp.ClientSession
) -> None:
    head = film()
    announced = await presign(caller, kind="video", mimeType="video/mp4", sizeBytes=LARGE)
    padding = LARGE - len(head)
    content = head + padding.to_bytes(4, "big") + b"free" + bytes(padding - 8)
    assert (await put(caller, announced, content)).status == 200
    assert (await finalize(caller, announced["uploadId"])).json["sizeBytes"] == LARGE
    too_large = await put(caller, announced, content + b"x")
    assert (too_large.status, too_large.code) == (413, "PAYLOAD_TOO_LARGE")


async def test_a_stream_without_a_length_is_bounded_too(caller: Caller) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield bytes(1024 * 1024)

    announced = await presign(caller)
    answer = await put(caller, announced, endless())
    assert (answer.status, answer.code) == (413, "PAYLOAD_TOO_LARGE")
    assert (await finalize(caller, announced["uploadId"])).code == "CONFLICT"


async def test_an_empty_or_stalled_body_is_refused(
    http: aiohttp.ClientSession, shared_database_url: str
) -> None:
    never = asyncio.Event()

    async def stalling() -> AsyncIterator[bytes]:
        yield b"x"
        await never.wait()

    async with serving(shared_database_url, body_timeout=0.2) as impatient:
        caller = await new_caller(http, impatient)
        announced = await presign(caller)
        assert (await put(caller, announced, b"")).form_errors == ["The body is empty"]
        stalled = await put(caller, announced, stalling())
        assert stalled.form_errors == ["The body did not arrive in time"]
        assert (await finalize(caller, announced["uploadId"])).code == "CONFLICT"


async def test_only_the_signature_opens_the_url(caller: Caller) -> None:
    announced = await presign(caller)
    url = announced["url"]
    path = url.partition("?")[0]
    other = await presign(caller)
    for who, wrong in (
        (caller, path),
        (nobody(caller), url[:-1]),
        (nobody(caller), url.replace("expires=", "expires=9")),
        (nobody(caller), other["url"].partition("?")[0] + "?" + url.partition("?")[2]),
    ):
        answer = await who.send("PUT", wrong, picture())
        assert (answer.status, answer.code) == (404, "NOT_FOUND")
    assert (await finalize(caller, announced["uploadId"])).code == "CONFLICT"


async def test_what_was_put_can_not_be_read(caller: Caller) -> None:
    announced = await presign(caller)
    await put(caller, announced, b"<script>alert(1)</script>")
    for who, path in (
        (caller, announced["url"].partition("?")[0]),
        (caller, announced["url"]),
        (nobody(caller), announced["url"]),
    ):
        assert (await who.get(path)).code == "METHOD_NOT_ALLOWED"


async def test_a_signature_for_reading_does_not_write(caller: Caller) -> None:
    asset = await upload(caller, picture())
    answer = await nobody(caller).send("PUT", asset["url"], picture("red"))
    assert answer.status in (404, 405)
    assert (await caller.get(asset["url"])).body == picture()


async def test_an_upload_expires(
    http: aiohttp.ClientSession, shared_database_url: str, service: Service
) -> None:
    clock = MovingClock()
    async with serving(shared_database_url, store=service.store, clock=clock) as at:
        caller = await new_caller(http, at)
        finished = await uploaded(caller, picture())
        asset = (await finalize(caller, finished)).json
        announced = await presign(caller)
        expires_at = datetime.fromisoformat(announced["expiresAt"])
        assert timedelta(minutes=59) < expires_at - clock.now <= timedelta(hours=1)
        await put(caller, announced, picture("red"))
        clock.now = expires_at + timedelta(seconds=1)
        assert (await put(caller, announced, picture("red"))).code == "NOT_FOUND"
        late = await finalize(caller, announced["uploadId"])
        assert late.field_errors == {"uploadId": ["The upload has expired"]}
        assert (await finalize(caller, finished)).json["assetId"] == asset["assetId"]


async def test_old_uploads_and_their_bytes_are_forgotten(caller: Caller, service: Service) -> None:
    upload_id = await uploaded(caller, picture())
    async with service.pool.acquire() as connection:
        await connection.execute(
            "update event_log.uploads set expires_at = '2001-01-01' where upload_id = $1", upload_id
        )
    await forget_uploads(service.pool, service.store, datetime(2002, 1, 1, tzinfo=UTC))
    answer = await finalize(caller, upload_id)
    assert answer.field_errors == {"uploadId": ["Not an upload of this project"]}
    staged = service.store.list(f"uploads/{caller.organization_id}")
    assert [found async for found in staged] == []


async def test_a_repeated_key_gets_the_first_answer(caller: Caller, replica: Service) -> None:
    body = {"kind": "image", "mimeType": "image/png"}
    path = f"{media_of(caller)}/presign"
    answers = await asyncio.gather(
        *(
            each.post(path, body, Idempotency_Key="presign")
            for each in [caller, caller.at(replica)] * 4
        )
    )
    assert {(answer.status, answer.body) for answer in answers} == {(201, answers[0].body)}
    assert sum("Idempotent-Replayed" in answer.headers for answer in answers) == 7
    other = await caller.post(path, {**body, "kind": "logo"}, Idempotency_Key="presign")
    assert other.code == "IDEMPOTENCY_CONFLICT"
    await put(caller, answers[0].json, picture())
    upload_id = answers[0].json["uploadId"]
    first = await finalize(caller, upload_id, Idempotency_Key="finalize")
    again = await finalize(caller, upload_id, Idempotency_Key="finalize")
    assert (again.status, again.body) == (201, first.body)
    assert again.headers["Idempotent-Replayed"] == "true"
    other = await finalize(
        caller, await uploaded(caller, picture("red")), Idempotency_Key="finalize"
    )
    assert other.code == "IDEMPOTENCY_CONFLICT"


async def test_a_store_that_is_down_is_unavailable(
    caller: Caller, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(*_: object) -> None:
        raise StorageUnavailable("put", "bucket gone")

    announced = await presign(caller)
    with monkeypatch.context() as patch:
        patch.setattr(service.store, "put", down)
        assert (await put(caller, announced, picture())).code == "UNAVAILABLE"
    assert (await put(caller, announced, picture())).status == 200
    with monkeypatch.context() as patch:
        patch.setattr(service.store, "head", down)
        assert (await finalize(caller, announced["uploadId"])).code == "UNAVAILABLE"
    assert (await finalize(caller, announced["uploadId"])).status == 201


async def test_a_disk_without_space_is_unavailable(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where an upload waits while it arrives; closing the file writes once more, and fails too."""

    class FullDisk(SpooledTemporaryFile[bytes]):
        def write(self, *_: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None:
            super().close()
            raise OSError(errno.ENOSPC, "No space left on device")

    announced = await presign(caller)
    with monkeypatch.context() as patch:
        patch.setattr("services.api.handlers.uploads.SpooledTemporaryFile", FullDisk)
        refused = await put(caller, announced, picture())
    assert (refused.status, refused.code) == (503, "UNAVAILABLE")
    assert int(refused.headers["Retry-After"]) >= 1
    assert (await put(caller, announced, picture())).status == 200


async def test_a_bucket_takes_the_bytes_itself(
    http: aiohttp.ClientSession, shared_database_url: str
) -> None:
    options = {"access_key_id": "id", "secret_access_key": "secret", "region": "eu-central-1"}
    store = open_object_store("s3://bucket/media", options)
    async with serving(shared_database_url, store=store) as at:
        announced = await presign(await new_caller(http, at))
    assert "X-Amz-Signature=" in announced["url"]
    assert announced["uploadId"] in announced["url"]


async def test_an_unknown_upload_is_told_with_every_other_fault(caller: Caller) -> None:
    path = f"{media_of(caller)}/finalize"
    answer = await caller.post(path, {"uploadId": f"upl_{7:026d}", "x": 1})
    assert answer.field_errors == {
        "uploadId": ["Not an upload of this project"],
        "x": ["Unknown field"],
    }
    assert (await caller.post(path, {"x": 1})).field_errors["uploadId"] == ["Required"]
