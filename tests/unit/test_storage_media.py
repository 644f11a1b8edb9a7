"""Content-addressed images and their thumbnails."""

from hashlib import sha256
from io import BytesIO

import pytest
from PIL import Image

from services.core.storage.errors import ImageUnreadable, InvalidKey
from services.core.storage.inspection import inspect_image
from services.core.storage.media import (
    StoredImage,
    media_key,
    mime_type_of,
    store_inspected,
)
from services.core.storage.store import ObjectStore, open_object_store

ORGANIZATION = "org_01ARZ3NDEKTSV4RRFFQ69G5FAV"
PROJECT = "prj_01ARZ3NDEKTSV4RRFFQ69G5FAV"
DIGEST = "0" * 64


def encoded(image: Image.Image, image_format: str = "PNG") -> bytes:
    target = BytesIO()
    image.save(target, image_format)
    return target.getvalue()


async def stored_in(store: ObjectStore, content: bytes) -> StoredImage:
    return await store_inspected(store, ORGANIZATION, PROJECT, inspect_image(content))


@pytest.fixture
def store() -> ObjectStore:
    return open_object_store("memory://")


async def test_an_image_is_named_by_its_bytes(store: ObjectStore) -> None:
    content = encoded(Image.new("RGB", (1024, 768), "teal"))

    stored = await stored_in(store, content)

    assert stored.sha256 == sha256(content).hexdigest()
    assert stored.key == f"{ORGANIZATION}/{PROJECT}/{stored.sha256}.png"
    assert (stored.width, stored.height) == (1024, 768)
    assert (stored.size_bytes, stored.mime_type) == (len(content), "image/png")
    assert await store.get(stored.key) == content


@pytest.mark.parametrize(
    ("size", "expected"),
    [((1024, 1024), (256, 256)), ((1024, 512), (256, 128)), ((100, 40), (100, 40))],
)
async def test_the_thumbnail_is_a_small_webp_named_by_its_bytes(
    store: ObjectStore, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    stored = await stored_in(store, encoded(Image.new("RGB", size)))

    thumbnail = await store.get(stored.thumbnail_key)

    assert stored.thumbnail_key.endswith(f"/{sha256(thumbnail).hexdigest()}.webp")
    with Image.open(BytesIO(thumbnail)) as image:
        assert (image.format, image.size) == ("WEBP", expected)


async def test_storing_twice_changes_nothing(store: ObjectStore) -> None:
    content = encoded(Image.new("RGB", (300, 300), "red"))

    first = await stored_in(store, content)
    second = await stored_in(store, content)

    assert first == second
    assert len([found async for found in store.list()]) == 2


async def test_transparency_survives_in_the_thumbnail(store: ObjectStore) -> None:
    content = encoded(Image.new("RGBA", (300, 300), (0, 0, 0, 0)))

    stored = await stored_in(store, content)

    with Image.open(BytesIO(await store.get(stored.thumbnail_key))) as image:
        assert image.convert("RGBA").getchannel("A").getextrema() == (0, 0)


@pytest.mark.parametrize(
    ("image_format", "extension"), [("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp")]
)
async def test_the_bytes_decide_the_extension(
    store: ObjectStore, image_format: str, extension: str
) -> None:
    content = encoded(Image.new("RGB", (20, 20)), image_format)

    stored = await stored_in(store, content)

    assert stored.key.endswith(f".{extension}")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not an image",
        encoded(Image.new("RGB", (20, 20)), "GIF"),
        encoded(Image.new("L", (8000, 6000))),
        encoded(Image.effect_noise((200, 200), 50))[:400],
    ],
    ids=["empty", "text", "gif", "48 megapixels", "truncated"],
)
async def test_what_is_not_an_image_is_not_stored(store: ObjectStore, content: bytes) -> None:
    with pytest.raises(ImageUnreadable):
        await stored_in(store, content)

    assert [found async for found in store.list()] == []


@pytest.mark.parametrize("part", ["..", "", "a/../b", "/a", "a b", "é"])
def test_unfit_parts_make_no_key(part: str) -> None:
    with pytest.raises(InvalidKey):
        media_key(part, PROJECT, DIGEST, "png")
    with pytest.raises(InvalidKey):
        media_key(ORGANIZATION, part, DIGEST, "png")


def test_only_image_extensions_make_a_key() -> None:
    with pytest.raises(ValueError, match="extension"):
        media_key(ORGANIZATION, PROJECT, DIGEST, "html")


def test_the_mime_type_follows_the_extension() -> None:
    assert mime_type_of(media_key(ORGANIZATION, PROJECT, DIGEST, "webp")) == "image/webp"
    assert mime_type_of("anything/else") == "application/octet-stream"
