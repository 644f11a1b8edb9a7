"""Images from strangers: looked at in bounded processes, whatever they hold."""

import asyncio
import struct
import zlib
from collections.abc import AsyncIterator
from io import BytesIO

import pytest
from PIL import Image

from services.core.errors import DependencyUnavailable
from services.core.storage.errors import ImageUnreadable
from services.core.storage.inspection import inspect_image
from services.core.storage.inspector import ImageInspector
from services.core.worker_processes import OrderFailed, OrderTookTooLong, WorkerProcesses


@pytest.fixture
async def inspector() -> AsyncIterator[ImageInspector]:
    opened = ImageInspector(size=1)
    yield opened
    await opened.close()


def encoded(image: Image.Image, image_format: str = "PNG") -> bytes:
    target = BytesIO()
    image.save(target, image_format)
    return target.getvalue()


def png_of_size(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG whose header says so, whatever its data."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(data, 9))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP"])
async def test_a_process_sees_what_we_would(inspector: ImageInspector, image_format: str) -> None:
    content = encoded(Image.effect_noise((300, 200), 90), image_format)

    assert await inspector.inspect(content) == inspect_image(content)


async def test_many_share_a_process(inspector: ImageInspector) -> None:
    contents = [encoded(Image.new("RGB", (10 + size, 20), "teal")) for size in range(12)]

    seen = await asyncio.gather(*map(inspector.inspect, contents))

    assert [image.width for image in seen] == [10 + size for size in range(12)]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        encoded(Image.new("RGB", (20, 20)), "GIF"),
        png_of_size(100_000, 100_000),
        png_of_size(8_000, 5_001),
        png_of_size(0, 10),
        png_of_size(6_000, 6_000),
        encoded(Image.effect_noise((200, 200), 50))[:400],
    ],
    ids=["empty", "svg", "gif", "10 gigapixels", "40 megapixels", "no width", "no data", "cut off"],
)
async def test_what_is_not_an_image_is_unreadable(
    inspector: ImageInspector, content: bytes
) -> None:
    with pytest.raises(ImageUnreadable):
        await inspector.inspect(content)
    assert (await inspector.inspect(encoded(Image.new("RGB", (9, 9))))).width == 9


async def test_an_image_at_the_limit_is_decoded(inspector: ImageInspector) -> None:
    rows = (b"\x00" + b"\x80" * 4 * 8_000) * 5_000

    image = await inspector.inspect(png_of_size(8_000, 5_000, rows))

    assert (image.width, image.height) == (8_000, 5_000)


@pytest.mark.parametrize("size", [(300, 200), (3000, 2000)])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_mode_has_a_thumbnail(mode: str, size: tuple[int, int]) -> None:
    white = 65535 if mode == "I;16" else "white"
    image = inspect_image(encoded(Image.new(mode, size, white)))

    with Image.open(BytesIO(image.thumbnail)) as thumbnail:
        assert max(thumbnail.size) == 256
        red, green, blue = thumbnail.convert("RGB").getpixel((99, 99))  # type: ignore[misc]
        assert min(red, green, blue) > 250


async def test_what_takes_too_long_is_unreadable() -> None:
    inspector = ImageInspector(size=1, timeout=0.001)
    with pytest.raises(ImageUnreadable, match="too long"):
        await inspector.inspect(encoded(Image.new("RGB", (900, 900))))
    await inspector.close()


async def test_after_its_end_it_is_unavailable(inspector: ImageInspector) -> None:
    await inspector.close()
    with pytest.raises(DependencyUnavailable):
        await inspector.inspect(encoded(Image.new("RGB", (9, 9))))


async def test_memory_is_bounded_and_the_next_order_is_served() -> None:
    workers = WorkerProcesses("tests.unit.hungry_worker", 1, timeout=20.0)
    with pytest.raises(OrderFailed, match="MemoryError"):
        await workers.order(b"eat")
    assert await workers.order(b"rest") == b"rest"
    await workers.close()


async def test_a_worker_that_dies_or_hangs_is_replaced() -> None:
    workers = WorkerProcesses("tests.unit.hungry_worker", 1, timeout=2.0)
    with pytest.raises(OrderFailed, match="died"):
        await workers.order(b"die")
    with pytest.raises(OrderTookTooLong):
        await workers.order(b"hang")
    assert await workers.order(b"rest") == b"rest"
    await workers.close()
