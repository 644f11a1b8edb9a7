"""One behaviour suite over every object store adapter, and what only the folder promises."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from services.core.storage import store as store_module
from services.core.storage.errors import (
    InvalidKey,
    ObjectNotFound,
    RangeNotSatisfiable,
    StorageUnavailable,
)
from services.core.storage.store import ObjectStore, open_object_store
from tests.buckets import a_bucket
from tests.waiting import eventually

UNSAFE_KEYS = [
    "",
    "/",
    "/etc/passwd",
    "..",
    "../secret",
    "a/../../secret",
    "a/./b",
    "a//b",
    "a/",
    ".hidden",
    "a/.hidden",
    "a\\b",
    "a%2e%2e/b",
    "a b",
    "a\n",
    "a\x00b",
    "ключ",
    "a" * 600,
    "/".join("a" * 20),
]


@pytest.fixture(params=["file", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ObjectStore]:
    if request.param == "s3":
        with a_bucket(tmp_path) as bucket:
            yield open_object_store(bucket.url, bucket.options)
    else:
        urls = {"file": (tmp_path / "a folder").as_uri(), "memory": "memory://"}
        yield open_object_store(urls[request.param])


async def test_what_was_put_is_what_is_read(store: ObjectStore) -> None:
    await store.put("org/project/a.png", b"content", "image/png")

    assert await store.get("org/project/a.png") == b"content"
    assert await store.exists("org/project/a.png")


async def test_a_put_replaces_the_object(store: ObjectStore) -> None:
    await store.put("a", b"first, and longer", "image/png")
    await store.put("a", b"second", "image/png")

    assert await store.get("a") == b"second"


async def test_a_put_of_the_same_bytes_renews_the_time(store: ObjectStore) -> None:
    """A sweep relies on it."""
    await store.put("a", b"1", "image/png")
    first = (await store.head("a")).last_modified

    async def renewed() -> bool:
        await store.put("a", b"1", "image/png")
        return (await store.head("a")).last_modified > first

    await eventually("a later time", renewed, 5)


async def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    await store.put("empty", b"", "image/png")

    assert await store.get("empty") == b""
    assert (await store.head("empty")).size_bytes == 0


@pytest.mark.parametrize(
    ("asked", "expected"),
    [((0, 3), b"abc"), ((2, 4), b"cd"), ((4, 99), b"ef"), ((0, 6), b"abcdef")],
)
async def test_a_range_is_cut_at_the_end(
    store: ObjectStore, asked: tuple[int, int], expected: bytes
) -> None:
    await store.put("a", b"abcdef", "image/png")

    assert await store.get("a", range=asked) == expected


@pytest.mark.parametrize("asked", [(6, 7), (3, 3), (4, 2), (-1, 2)])
async def test_a_range_outside_the_object_is_refused(
    store: ObjectStore, asked: tuple[int, int]
) -> None:
    await store.put("a", b"abcdef", "image/png")

    with pytest.raises(RangeNotSatisfiable):
        await store.get("a", range=asked)


async def test_head_describes_the_object(store: ObjectStore) -> None:
    await store.put("org/a.png", b"12345", "image/png")

    described = await store.head("org/a.png")

    assert (described.key, described.size_bytes) == ("org/a.png", 5)
    assert described.last_modified.tzinfo is not None


async def test_a_missing_object_is_named(store: ObjectStore) -> None:
    for read in (
        store.get("org/none"),
        store.head("org/none"),
        store.get("org/none", range=(0, 1)),
    ):
        with pytest.raises(ObjectNotFound) as raised:
            await read
        assert raised.value.key == "org/none"
    assert not await store.exists("org/none")


async def test_a_folder_of_objects_is_not_an_object(store: ObjectStore) -> None:
    await store.put("org/a.png", b"1", "image/png")

    assert not await store.exists("org")


async def test_delete_can_be_repeated(store: ObjectStore) -> None:
    await store.put("a", b"1", "image/png")

    await store.delete("a")
    await store.delete("a")

    assert not await store.exists("a")


async def test_list_is_bounded_by_whole_segments(store: ObjectStore) -> None:
    for key in ("org/one/a", "org/one/b", "org/oneness/c", "other/d"):
        await store.put(key, b"1", "image/png")

    assert {found.key async for found in store.list("org/one")} == {"org/one/a", "org/one/b"}
    assert {found.key async for found in store.list("org/one/")} == {"org/one/a", "org/one/b"}
    assert len([found async for found in store.list()]) == 4
    assert [found async for found in store.list("nothing")] == []


@pytest.mark.parametrize("key", UNSAFE_KEYS)
async def test_unsafe_keys_are_refused_everywhere(store: ObjectStore, key: str) -> None:
    for call in (
        store.put(key, b"1", "image/png"),
        store.get(key),
        store.head(key),
        store.exists(key),
        store.delete(key),
    ):
        with pytest.raises(InvalidKey):
            await call


async def test_an_unsafe_prefix_is_refused(store: ObjectStore) -> None:
    with pytest.raises(InvalidKey):
        [found async for found in store.list("../")]


async def test_the_folder_flushes_the_file_and_its_parents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[Path] = []
    monkeypatch.setattr(store_module, "_flush", flushed.append)

    await open_object_store(tmp_path.as_uri()).put("org/project/a", b"1", "image/png")

    assert [path.name for path in flushed] == ["a", "project", "org", tmp_path.name]


async def test_the_folder_survives_being_opened_again(tmp_path: Path) -> None:
    await open_object_store(tmp_path.as_uri()).put("a", b"1", "image/png")

    assert await open_object_store(tmp_path.as_uri()).get("a") == b"1"


async def test_a_store_that_fails_is_unavailable(tmp_path: Path) -> None:
    store = open_object_store(tmp_path.as_uri())
    (tmp_path / "org").write_text("a file where a folder has to be")

    with pytest.raises(StorageUnavailable):
        await store.put("org/a", b"1", "image/png")


async def test_the_environment_may_say_where_s3_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_bucket(tmp_path) as bucket:
        for name, text in bucket.environment.items():
            monkeypatch.setenv(name, text)
        await open_object_store(bucket.url).put("org/a.png", b"1", "image/png")

    assert (tmp_path / "media" / "pictures" / "org" / "a.png").read_bytes() == b"1"


async def test_a_bucket_takes_what_is_put_to_a_signed_url(tmp_path: Path) -> None:
    with a_bucket(tmp_path) as bucket:
        store = open_object_store(bucket.url, bucket.options)
        url = await store.put_url("uploads/a", timedelta(minutes=5))
        assert url is not None
        assert "X-Amz-Expires=300&" in url
        async with aiohttp.ClientSession() as session, session.put(url, data=b"bytes") as answer:
            assert answer.status == 200
        assert await store.get("uploads/a") == b"bytes"


async def test_an_unreachable_s3_is_unavailable() -> None:
    options = {
        "endpoint": "http://127.0.0.1:9",
        "region": "none",
        "access_key_id": "none",
        "secret_access_key": "none",
        "client_options": {"allow_http": True},
        "retry_config": {"max_retries": 0},
    }

    with pytest.raises(StorageUnavailable):
        await open_object_store("s3://bucket/prefix", options).put("a", b"1", "image/png")


@pytest.mark.parametrize("url", ["", "folder", "http://host/x", "file://host/folder"])
def test_an_unknown_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        open_object_store(url)
