"""Inline uploads: the bytes decide, and the same bytes are one asset."""

import asyncio
import re
from hashlib import sha256
from typing import Any

import pytest

from services.api.asset_queries import FIND_UPLOADED, LIST_ASSETS
from services.core.controlplane import create_project
from services.core.errors import DependencyUnavailable
from services.core.storage.errors import StorageUnavailable
from tests.integration.api.calling import Caller
from tests.integration.api.conftest import NewCaller
from tests.integration.api.pictures import (
    OGG,
    SOUND,
    WAVE,
    WEBM,
    film,
    inline,
    media_of,
    photo_of_somewhere,
    picture,
    upload,
)
from tests.integration.api.serving import Service
from tests.integration.api.test_media import nobody
from tests.integration.api.test_pagination import pages

FIELDS = {
    "assetId",
    "projectId",
    "kind",
    "mimeType",
    "sizeBytes",
    "sha256",
    "width",
    "height",
    "url",
    "thumbnailUrl",
    "createdAt",
}


async def count_assets(service: Service, caller: Caller) -> tuple[int, int]:
    """Streams and rows of the caller's organization."""
    async with service.pool.acquire() as connection:
        streams, rows = [
            await connection.fetchval(
                f"select count(*) from {table} where organization_id = $1", caller.organization_id
            )
            for table in ("event_log.streams", "read_model.media_assets")
        ]
    return streams, rows


@pytest.mark.parametrize(
    ("kind", "image_format", "mime_type"),
    [
        ("image", "PNG", "image/png"),
        ("reference_image", "JPEG", "image/jpeg"),
        ("logo", "WEBP", "image/webp"),
    ],
)
async def test_an_uploaded_image_is_an_asset(
    caller: Caller, kind: str, image_format: str, mime_type: str
) -> None:
    content = picture(image_format=image_format)
    body = inline(content, kind=kind, mimeType=mime_type, filename="me at home.png")
    answer = await caller.post(media_of(caller), body)
    assert answer.status == 201
    asset = answer.json
    assert asset.keys() == FIELDS
    assert (asset["kind"], asset["mimeType"]) == (kind, mime_type)
    assert (asset["width"], asset["height"]) == (64, 40)
    assert asset["projectId"] == caller.project_id
    assert asset["sha256"] == sha256(content).hexdigest()
    assert asset["sizeBytes"] == len(content)
    assert answer.headers["Location"] == f"/v1/media/{asset['assetId']}"
    served = await nobody(caller).get(asset["url"])
    assert (served.body, served.headers["Content-Type"]) == (content, mime_type)
    thumbnail = await nobody(caller).get(asset["thumbnailUrl"])
    assert (thumbnail.status, thumbnail.headers["Content-Type"]) == (200, "image/webp")


@pytest.mark.parametrize(
    ("kind", "mime_type", "content"),
    [
        ("video", "video/mp4", film()),
        ("video", "video/webm", WEBM),
        ("audio", "audio/mpeg", SOUND),
        ("audio", "audio/wav", WAVE),
        ("audio", "audio/ogg", OGG),
    ],
)
async def test_sound_and_film_are_kept_as_they_are(
    caller: Caller, kind: str, mime_type: str, content: bytes
) -> None:
    asset = await upload(caller, content, kind=kind, mimeType=mime_type)
    assert asset.keys() == FIELDS
    assert (asset["width"], asset["height"], asset["thumbnailUrl"]) == (None, None, None)
    served = await nobody(caller).get(asset["url"])
    assert (served.body, served.headers["Content-Type"]) == (content, mime_type)


async def test_where_a_photo_was_taken_is_not_kept(caller: Caller, service: Service) -> None:
    content = photo_of_somewhere()
    assert b"SECRET" in content
    asset = await upload(caller, content, mimeType="image/jpeg")
    served = await caller.get(asset["url"])
    assert b"SECRET" not in served.body
    assert asset["sha256"] == sha256(served.body).hexdigest()
    assert asset["sizeBytes"] == len(served.body)
    kept = service.store.list(caller.organization_id)
    assert not [found async for found in kept if b"SECRET" in await service.store.get(found.key)]
    assert (await upload(caller, content, mimeType="image/jpeg"))["assetId"] == asset["assetId"]


@pytest.mark.parametrize(
    ("fields", "faults"),
    [
        ({"mimeType": "image/jpeg"}, {"mimeType"}),
        ({"dataBase64": "bm90IGFuIGltYWdl"}, {"dataBase64"}),
        ({"kind": "video", "mimeType": "video/mp4"}, {"dataBase64"}),
        ({"dataBase64": "%%%"}, {"dataBase64"}),
        ({"dataBase64": "YQ"}, {"dataBase64"}),
        ({"dataBase64": ""}, {"dataBase64"}),
        ({"dataBase64": None}, {"dataBase64"}),
        ({"kind": "video"}, {"mimeType"}),
        ({"kind": "audio", "mimeType": "video/mp4"}, {"mimeType"}),
        ({"mimeType": "image/svg+xml"}, {"mimeType"}),
        ({"mimeType": "image/gif"}, {"mimeType"}),
        ({"kind": "document", "mimeType": "x", "a": 1, "dataBase64": 5}, None),
        ({"filename": "\x00"}, {"filename"}),
        ({"filename": "x" * 256}, {"filename"}),
    ],
)
async def test_bytes_or_fields_that_are_wrong_change_nothing(
    caller: Caller, service: Service, fields: dict[str, Any], faults: set[str] | None
) -> None:
    answer = await caller.post(media_of(caller), inline(picture(), **fields))
    assert answer.field_errors.keys() == (faults or fields.keys())
    assert await count_assets(service, caller) == (0, 0)


async def test_what_is_missing_is_told_at_once(caller: Caller) -> None:
    answer = await caller.post(media_of(caller), {})
    assert answer.field_errors == {
        field: ["Required"] for field in ("kind", "mimeType", "dataBase64")
    }


async def test_an_image_that_lies_is_told_what_it_is(caller: Caller) -> None:
    body = inline(picture(image_format="WEBP"))
    answer = await caller.post(media_of(caller), body)
    assert answer.field_errors == {"mimeType": ["The bytes are image/webp"]}


@pytest.mark.parametrize("size", [256 * 1024, 300 * 1024])
async def test_what_is_not_under_256_kib_is_too_large(caller: Caller, size: int) -> None:
    for extra in ({}, {"kind": "nonsense", "unknown": 1}):
        answer = await caller.post(media_of(caller), inline(bytes(size), **extra))
        assert (answer.status, answer.code) == (413, "PAYLOAD_TOO_LARGE")


async def test_just_under_256_kib_is_taken(caller: Caller) -> None:
    content = SOUND + bytes(256 * 1024 - 1 - len(SOUND))
    asset = await upload(caller, content, kind="audio", mimeType="audio/mpeg")
    assert asset["sizeBytes"] == 256 * 1024 - 1


async def test_the_same_bytes_are_one_asset_of_a_project(
    caller: Caller, new: NewCaller, service: Service
) -> None:
    first = await upload(caller, picture())
    again = await upload(caller, picture(), kind="logo")
    assert again["assetId"] == first["assetId"]
    assert again["kind"] == "image"
    assert await count_assets(service, caller) == (1, 1)
    assert (await upload(caller, picture("red")))["assetId"] != first["assetId"]
    async with service.pool.acquire() as connection:
        project_id = await create_project(connection, caller.organization_id, "Other")  # type: ignore[arg-type]
    beside = await new(organization_id=caller.organization_id, project_id=project_id)
    for other in (beside, await new()):
        assert (await upload(other, picture()))["assetId"] != first["assetId"]


async def test_the_same_bytes_at_once_on_two_replicas_are_one_asset(
    caller: Caller, service: Service, replica: Service
) -> None:
    callers = [caller, caller.at(replica)] * 8
    assets = await asyncio.gather(*(upload(each, picture("navy")) for each in callers))
    assert len({asset["assetId"] for asset in assets}) == 1
    assert await count_assets(service, caller) == (1, 1)


async def test_a_repeated_key_gets_the_first_answer(caller: Caller, service: Service) -> None:
    body = inline(picture())
    other_spelling = f"/v1/projects/{caller.project_id.upper()}/media"
    for url in (media_of(caller), other_spelling):
        first = await caller.post(url, body, Idempotency_Key="one")
        again = await caller.post(url, body, Idempotency_Key="one")
        assert again.body == first.body
        assert again.headers["Idempotent-Replayed"] == "true"
    other = await caller.post(media_of(caller), inline(picture("red")), Idempotency_Key="one")
    assert (other.status, other.code) == (409, "IDEMPOTENCY_CONFLICT")
    assert await count_assets(service, caller) == (1, 1)


async def test_a_key_is_kept_for_bytes_that_were_there_before(caller: Caller) -> None:
    await upload(caller, picture())
    first = await caller.post(media_of(caller), inline(picture()), Idempotency_Key="two")
    again = await caller.post(media_of(caller), inline(picture()), Idempotency_Key="two")
    assert first.status == again.status == 201
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"


async def test_one_key_at_once_on_two_replicas_is_one_answer(
    caller: Caller, replica: Service
) -> None:
    callers = [caller, caller.at(replica)] * 4
    answers = await asyncio.gather(
        *(
            each.post(media_of(each), inline(picture("plum")), Idempotency_Key="three")
            for each in callers
        )
    )
    assert {(answer.status, answer.body) for answer in answers} == {(201, answers[0].body)}


async def test_the_bytes_are_durable_before_the_event(
    caller: Caller, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(*_: object) -> None:
        raise StorageUnavailable("put", "bucket gone")

    with monkeypatch.context() as patch:
        patch.setattr(service.store, "put", down)
        answer = await caller.post(media_of(caller), inline(picture()))
    assert (answer.status, answer.code) == (503, "UNAVAILABLE")
    assert answer.headers["Retry-After"]
    assert await count_assets(service, caller) == (0, 0)


async def test_an_event_that_is_not_durable_is_unavailable_and_safe_to_repeat(
    caller: Caller, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(*_: object) -> None:
        raise DependencyUnavailable("event log", "away")

    with monkeypatch.context() as patch:
        patch.setattr(service.group_commit, "append", down)
        answer = await caller.post(media_of(caller), inline(picture()))
    assert answer.code == "UNAVAILABLE"
    await upload(caller, picture())


async def test_scopes_are_needed(caller: Caller, new: NewCaller) -> None:
    reader = await new(
        "media:read", organization_id=caller.organization_id, project_id=caller.project_id
    )
    writer = await new(
        "media:write", organization_id=caller.organization_id, project_id=caller.project_id
    )
    asset = await upload(writer, picture())
    location = f"/v1/media/{asset['assetId']}"
    for path in ("", "/presign", "/finalize"):
        refused = await reader.post(media_of(reader) + path, {})
        assert refused.details == {"requiredScope": "media:write"}
    for path in (location, media_of(writer)):
        assert (await reader.get(path)).status == 200
        assert (await writer.get(path)).details == {"requiredScope": "media:read"}


async def test_what_is_anothers_is_not_there(caller: Caller, new: NewCaller) -> None:
    asset = await upload(caller, picture())
    other = await new()
    for answer in (
        await other.get(f"/v1/media/{asset['assetId']}"),
        await other.get(media_of(caller)),
        await other.post(media_of(caller), inline(picture())),
        await other.post(f"{media_of(caller)}/presign", {}),
        await other.post(f"{media_of(caller)}/finalize", {}),
        await caller.get("/v1/media/ast_00000000000000000000000000"),
        await caller.get("/v1/media/nonsense"),
    ):
        assert (answer.status, answer.code) == (404, "NOT_FOUND")


async def test_an_asset_can_be_read(caller: Caller) -> None:
    asset = await upload(caller, picture())
    answer = await caller.get(f"/v1/media/{asset['assetId'].lower()}")
    assert answer.json == asset
    assert answer.headers["Cache-Control"] == "private, no-cache"
    again = await caller.get(f"/v1/media/{asset['assetId']}", If_None_Match=answer.headers["ETag"])
    assert again.status == 304


@pytest.fixture
async def gallery(caller: Caller) -> list[Any]:
    """Seven assets, the oldest first."""
    return [
        *[await upload(caller, picture(f"#00000{number}")) for number in range(4)],
        await upload(caller, SOUND, kind="audio", mimeType="audio/mpeg"),
        *[await upload(caller, picture(f"#0000{n}0"), kind="logo") for n in (1, 2)],
    ]


@pytest.mark.parametrize("limit", [1, 2, 7, 100])
async def test_pages_hold_every_asset_once_newest_first(
    caller: Caller, gallery: list[Any], limit: int
) -> None:
    shown = [item async for page in pages(caller, media_of(caller), limit) for item in page]
    newest_first = sorted(gallery, key=lambda a: (a["createdAt"], a["assetId"]), reverse=True)
    assert shown == newest_first


async def test_a_list_of_one_kind(caller: Caller, gallery: list[Any]) -> None:
    answer = await caller.get(f"{media_of(caller)}?kind=logo&limit=1")
    assert [item["kind"] for item in answer.json["items"]] == ["logo"]
    cursor = answer.json["nextCursor"]
    rest = await caller.get(f"{media_of(caller)}?kind=logo&limit=1&cursor={cursor}")
    assert [item["kind"] for item in rest.json["items"]] == ["logo"]
    assert rest.json["nextCursor"] is None
    other = await caller.get(f"{media_of(caller)}?kind=audio&cursor={cursor}")
    assert other.field_errors.keys() == {"cursor"}
    assert (await caller.get(f"{media_of(caller)}?kind=video")).json["items"] == []
    assert (await caller.get(f"{media_of(caller)}?kind=x&limit=0")).field_errors.keys() == {
        "kind",
        "limit",
    }


@pytest.fixture
async def crowd(service: Service, caller: Caller) -> None:
    """Thousands of assets of one project, few of them films."""
    async with service.pool.acquire() as connection:
        await connection.execute(
            """
            insert into read_model.media_assets
                (organization_id, asset_id, project_id, created_at, state)
            select $1, 'ast_' || lpad(n::text, 26, '0'), $2, now() - n * interval '1 s',
                jsonb_build_object(
                    'kind', case when n % 5000 = 0 then 'video' else 'image' end,
                    'sha256', md5(n::text)
                )
            from generate_series(1, 20000) n
            """,
            caller.organization_id,
            caller.project_id,
        )
        await connection.execute("analyze read_model.media_assets")


@pytest.mark.usefixtures("crowd")
@pytest.mark.parametrize("kinds", [["video"], ["image", "video", "audio", "logo"]])
@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_a_page_reads_no_more_rows_than_it_holds(
    caller: Caller, service: Service, kinds: list[str], mode: str
) -> None:
    plan = await explained(
        service,
        mode,
        LIST_ASSETS,
        *(caller.organization_id, caller.project_id, kinds, None, None, 26),
    )
    assert "media_assets_of_project" in plan
    assert "Seq Scan" not in plan
    assert most_rows(plan) <= 26 * len(kinds)


@pytest.mark.usefixtures("crowd")
@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_the_same_bytes_are_found_by_an_index(
    caller: Caller, service: Service, mode: str
) -> None:
    plan = await explained(
        service, mode, FIND_UPLOADED, caller.organization_id, caller.project_id, "0" * 64
    )
    assert "media_assets_by_content" in plan


async def explained(service: Service, mode: str, query: str, *values: object) -> str:
    async with service.pool.acquire() as connection, connection.transaction():
        await connection.execute(f"set local plan_cache_mode = {mode}")
        rows = await connection.fetch(f"explain (analyze, costs off) {query}", *values)
    return "\n".join(row[0] for row in rows)


def most_rows(plan: str) -> float:
    return max(float(rows) for rows in re.findall(r"rows=([0-9.]+)", plan))
