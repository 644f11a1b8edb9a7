"""From what a backend gives to an image in the store."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from io import BytesIO

import pytest
from PIL import Image

from schemas.ids import UlidSource
from schemas.images import ReferenceImage
from services.core.domain.state import Influencer
from services.core.rendering import images
from services.core.rendering.base import RenderBackendError, RenderRequest
from services.core.rendering.images import ImageMaker
from services.core.storage.errors import StorageUnavailable
from services.core.storage.inspector import ImageInspector
from services.core.storage.store import ObjectStore, open_object_store
from tests.unit.samples import INFLUENCER_ID, ORGANIZATION_ID, PROFILE, PROJECT_ID, TIME

AVA = Influencer(
    organization_id=ORGANIZATION_ID,
    project_id=PROJECT_ID,
    influencer_id=INFLUENCER_ID,
    status="training",
    profile=PROFILE,
    created_at=TIME,
    updated_at=TIME,
)


class Backend:
    name = "test"

    def __init__(self, content: bytes) -> None:
        self.content = content

    async def render(self, request: RenderRequest) -> bytes:
        return self.content

    async def close(self) -> None:
        return


def a_picture() -> bytes:
    target = BytesIO()
    Image.new("RGB", (30, 20), "teal").save(target, "PNG")
    return target.getvalue()


@pytest.fixture
async def inspector() -> AsyncIterator[ImageInspector]:
    opened = ImageInspector(size=1)
    yield opened
    await opened.close()


async def made(inspector: ImageInspector, store: ObjectStore, content: bytes) -> ReferenceImage:
    maker = ImageMaker(
        backend=Backend(content),
        inspector=inspector,
        store=store,
        base_url="http://media.test",
        clock=lambda: datetime.now(UTC),
        ids=UlidSource(),
        timeout=5,
    )
    return await maker.make(AVA, "portrait", (), asyncio.Semaphore())


async def test_a_store_that_is_full_is_waited_for(
    inspector: ImageInspector, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, puts = open_object_store("memory://"), 0
    put = store.put

    async def full_at_first(key: str, content: bytes, content_type: str) -> None:
        nonlocal puts
        puts += 1
        if puts <= 2:
            raise StorageUnavailable("put", "No space left on device (os error 28)")
        await put(key, content, content_type)

    monkeypatch.setattr(store, "put", full_at_first)
    image = await made(inspector, store, a_picture())
    assert (image.width, image.height) == (30, 20)
    assert await store.get(image.url.removeprefix("http://media.test/media/")) == a_picture()


@pytest.mark.parametrize("content", [b"", b"no picture", a_picture()[:-30]])
async def test_what_is_no_picture_is_the_backends_fault(
    inspector: ImageInspector, content: bytes
) -> None:
    store = open_object_store("memory://")
    with pytest.raises(RenderBackendError):
        await made(inspector, store, content)
    assert [found async for found in store.list()] == []


async def test_more_than_any_picture_needs_is_not_even_looked_at(
    inspector: ImageInspector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "MAXIMUM_IMAGE", 50)
    with pytest.raises(RenderBackendError, match="more than 50 bytes"):
        await made(inspector, open_object_store("memory://"), a_picture())
