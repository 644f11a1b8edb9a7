"""Media bytes: who may read them, and all that HTTP has for bytes that never change."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import aiohttp
import pytest

from schemas.images import ReferenceImage
from services.core.domain.commands import RecordImage, StartTraining
from services.core.storage.errors import StorageUnavailable
from services.core.storage.signing import sign_path
from services.core.storage.store import open_object_store
from tests.integration.api.calling import Answer, Caller, new_caller
from tests.integration.api.conftest import NewCaller
from tests.integration.api.serving import MEDIA_KEY, MEDIA_LIFETIME, Service, serving
from tests.unit.samples import rendered

CONTENT = bytes(range(256)) * 16
DIGEST = sha256(CONTENT).hexdigest()


class MovingClock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


async def stored(caller: Caller, service: Service, extension: str = "png") -> str:
    """The path of an object in the caller's project."""
    key = f"{caller.organization_id}/{caller.project_id}/{DIGEST}.{extension}"
    await service.store.put(key, CONTENT, "image/png")
    return f"/media/{key}"


def nobody(caller: Caller) -> Caller:
    return replace(caller, key=None)


def require_whole(answer: Answer) -> None:
    assert (answer.status, answer.body) == (200, CONTENT)
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["Content-Length"] == str(len(CONTENT))
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["ETag"] == f'"{DIGEST}"'
    assert "immutable" in answer.headers["Cache-Control"]
    assert "private" in answer.headers["Cache-Control"]
    assert answer.headers["Vary"] == "X-Api-Key, Authorization"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def shown_image(caller: Caller, service: Service, path: str) -> tuple[str, dict[str, str]]:
    """The path of an influencer whose image lies at `path`, and the image in its record."""
    created = await caller.create()
    stream = (caller.organization_id, created["influencerId"], created["jobId"])
    image: ReferenceImage = rendered(1).model_copy(
        update={"url": f"http://long-gone:1{path}", "thumbnail_url": path}
    )
    await service.append(
        StartTraining(*stream, backend="drawing"), RecordImage(*stream, index=0, image=image)
    )
    location = f"/v1/influencers/{created['influencerId']}"
    [shown] = (await caller.get(location)).json["referenceImages"]
    return location, shown


async def test_the_url_of_a_record_needs_no_key(caller: Caller, service: Service) -> None:
    path = await stored(caller, service)
    _, image = await shown_image(caller, service, path)
    for url in (image["url"], image["thumbnailUrl"]):
        assert url.partition("?")[0] == path
        require_whole(await nobody(caller).get(url))


async def test_a_key_of_the_organization_reads_it_without_a_signature(
    caller: Caller, new: NewCaller, service: Service
) -> None:
    path = await stored(caller, service)
    require_whole(await caller.get(path))
    reader = await new("media:read", organization_id=caller.organization_id)
    require_whole(await reader.get(path))
    bearer = {"Authorization": f"Bearer {caller.key}"}
    require_whole(await nobody(caller).send("GET", path, headers=bearer))
    assert (await nobody(caller).get(path)).code == "UNAUTHENTICATED"


async def test_what_is_anothers_is_not_there(
    caller: Caller, new: NewCaller, service: Service
) -> None:
    path = await stored(caller, service)
    missing = path.replace(DIGEST, "0" * 64)
    other = await new()
    for who, where in ((other, path), (other, missing), (caller, missing)):
        answer = await who.get(where)
        assert (answer.status, answer.code) == (404, "NOT_FOUND")


async def test_a_wrong_signature_is_not_found(caller: Caller, service: Service) -> None:
    path = await stored(caller, service)
    later = int(datetime.now(UTC).timestamp()) + 600
    signed = sign_path(path, MEDIA_KEY, later)
    require_whole(await nobody(caller).get(signed))
    other = path.replace(DIGEST, "0" * 64)
    for wrong in (
        signed[:-1],
        signed.replace(f"expires={later}", f"expires={later + 1}"),
        signed.replace(path, other),
        sign_path(path, b"another key", later),
        f"{path}?signature=",
        f"{path}?signature=x&expires=x",
        f"{path}?signature=%F0%9F%92%83&expires={later}",
        sign_path(path, MEDIA_KEY, later - 700),
    ):
        assert (await nobody(caller).get(wrong)).code == "NOT_FOUND", wrong


async def test_a_signature_expires_and_is_made_anew_without_changing_the_etag(
    http: aiohttp.ClientSession, shared_database_url: str, service: Service
) -> None:
    clock = MovingClock()
    async with serving(shared_database_url, store=service.store, clock=clock) as at:
        caller = await new_caller(http, at)
        path = await stored(caller, at)
        location, image = await shown_image(caller, at, path)
        before = await caller.get(location)
        clock.now += timedelta(seconds=MEDIA_LIFETIME - 1)
        require_whole(await nobody(caller).get(image["url"]))
        clock.now += timedelta(seconds=MEDIA_LIFETIME + 1)
        assert (await nobody(caller).get(image["url"])).status == 404
        after = await caller.get(location)
        assert after.json["referenceImages"][0]["url"] != image["url"]
        assert after.headers["ETag"] == before.headers["ETag"]
        require_whole(await nobody(caller).get(after.json["referenceImages"][0]["url"]))


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-99", 0, 100),
        ("bytes=100-", 100, 4096),
        ("bytes=-100", 3996, 4096),
        ("bytes=4095-9999999", 4095, 4096),
        ("bytes=-99999", 0, 4096),
    ],
)
async def test_a_range_is_a_part(
    caller: Caller, service: Service, wanted: str, start: int, stop: int
) -> None:
    path = await stored(caller, service)
    answer = await caller.get(path, Range=wanted)
    assert (answer.status, answer.body) == (206, CONTENT[start:stop])
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/4096"
    assert answer.headers["ETag"] == f'"{DIGEST}"'
    assert answer.headers["Content-Type"] == "image/png"


@pytest.mark.parametrize(
    "wanted", ["bytes=", "bytes=-", "bytes=9-1", "lines=0-1", "bytes=0-1,4-5", "bytes=a-b", "x"]
)
async def test_a_range_that_is_none_gets_the_whole(
    caller: Caller, service: Service, wanted: str
) -> None:
    require_whole(await caller.get(await stored(caller, service), Range=wanted))


async def test_a_range_behind_the_end_can_not_be_had(caller: Caller, service: Service) -> None:
    for wanted in ("bytes=4096-", "bytes=9999-99999"):
        answer = await caller.get(await stored(caller, service), Range=wanted)
        assert answer.status == 416
        assert answer.headers["Content-Range"] == "bytes */4096"


async def test_a_range_of_another_version_gets_the_whole(caller: Caller, service: Service) -> None:
    path = await stored(caller, service)
    require_whole(await caller.get(path, Range="bytes=0-1", If_Range='"other"'))
    part = await caller.get(path, Range="bytes=0-1", If_Range=f'"{DIGEST}"')
    assert part.status == 206


async def test_who_has_it_already_gets_nothing(caller: Caller, service: Service) -> None:
    path = await stored(caller, service)
    answer = await caller.get(path, If_None_Match=f'"{DIGEST}"')
    assert (answer.status, answer.body) == (304, b"")
    assert answer.headers["ETag"] == f'"{DIGEST}"'
    assert "immutable" in answer.headers["Cache-Control"]
    stranger = await nobody(caller).get(path, If_None_Match=f'"{DIGEST}"')
    assert stranger.status == 401


async def test_head_says_what_get_would(caller: Caller, service: Service) -> None:
    path = await stored(caller, service)
    answer = await caller.send("HEAD", path)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Content-Length"] == "4096"
    assert answer.headers["ETag"] == f'"{DIGEST}"'
    missing = await caller.send("HEAD", path.replace(DIGEST, "0" * 64))
    assert missing.status == 404


@pytest.mark.parametrize(
    ("extension", "kind"),
    [("png", "image/png"), ("webp", "image/webp"), ("jpg", "image/jpeg")],
)
async def test_the_type_follows_the_name(
    caller: Caller, service: Service, extension: str, kind: str
) -> None:
    answer = await caller.get(await stored(caller, service, extension))
    assert answer.headers["Content-Type"] == kind


@pytest.fixture
async def folder(
    tmp_path_factory: pytest.TempPathFactory, shared_database_url: str
) -> AsyncIterator[Service]:
    """An api over a folder, with something beside it that nobody may read."""
    root = tmp_path_factory.mktemp("media")
    (root / "secret.png").write_bytes(b"secret")
    store = open_object_store(f"file://{root / 'store'}")
    async with serving(shared_database_url, store=store) as running:
        yield running


@pytest.mark.parametrize(
    "wrong",
    [
        "../secret.png",
        "%2e%2e/secret.png",
        "..%2fsecret.png",
        "..%5csecret.png",
        "{organization}/../../secret.png",
        "{organization}/%2e%2e/%2e%2e/secret.png",
        "{organization}/..%2f..%2fsecret.png",
        "{organization}/%252e%252e/secret.png",
        "{organization}//secret.png",
        "{organization}/.hidden",
        "{organization}/",
        "{organization}",
        "{organization}/{project}",
        "{organization}/{project}/",
        "{organization}/a%00.png",
        "{organization}/%F0%9F%92%83.png",
        "{organization}/" + "x" * 600,
        "%2fetc%2fpasswd",
        "",
    ],
)
async def test_no_path_leads_out_of_the_store(
    http: aiohttp.ClientSession, folder: Service, wrong: str
) -> None:
    caller = await new_caller(http, folder)
    require_whole(await caller.get(await stored(caller, folder)))
    names = {"organization": caller.organization_id, "project": caller.project_id}
    path = f"/media/{wrong}".format(**names)
    answer = await caller.get(path)
    assert (answer.status, answer.code) == (404, "NOT_FOUND")
    assert b"secret" not in answer.body


async def test_a_store_that_is_down_is_unavailable(
    caller: Caller, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(*_: object) -> bytes:
        raise StorageUnavailable("get", "bucket gone")

    path = await stored(caller, service)
    monkeypatch.setattr(service.store, "get", down)
    answer = await caller.get(path)
    assert (answer.status, answer.code) == (503, "UNAVAILABLE")
    assert answer.headers["Retry-After"]
    assert b"bucket" not in answer.body
