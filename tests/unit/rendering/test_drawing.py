"""The drawing backend end to end: real processes, real PNGs."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import resvg_py
from PIL import Image

from schemas.profile import Profile
from services.core.rendering.appearance import appear
from services.core.rendering.base import (
    RenderBackendError,
    RenderRejected,
    RenderRequest,
    RenderTimeout,
    SeedUnreadable,
)
from services.core.rendering.composition import compose, compose_poster, placement
from services.core.rendering.drawing import DrawingBackend
from services.core.rendering.figure import figure
from services.core.rendering.identity import Palette, identify
from services.core.rendering.lettering import Lettering
from services.core.rendering.vocabulary import HAIR_RULES
from services.core.rendering.worker import RASTERIZE
from services.core.rendering.worker_pool import WorkerPool
from tests.unit.rendering.pictures import decoded, encoded

VIEWS = ("portrait", "smiling", "casual", "evening")
PLAIN = Profile(name="Ava")
STRANGE = Profile(
    name="\u202e<script>&\"'",
    age_range="٢٥",
    ethnicity="]]>",
    hair_style="<svg/>",
    hair_color="&lt;",
    style="💥" * 60,
    vibe="\x00\x07",
)
REQUEST = RenderRequest("org", "inf_1", PLAIN, "portrait", 128, 128)


@pytest.fixture
async def backend() -> AsyncIterator[DrawingBackend]:
    drawing = DrawingBackend(processes=2)
    yield drawing
    await drawing.close()


def is_opaque(image: Image.Image) -> bool:
    return image.convert("RGBA").getchannel("A").getextrema() == (255, 255)


@pytest.mark.parametrize("view", [*VIEWS, "something else"])
@pytest.mark.parametrize("size", [(256, 256), (300, 128), (97, 203)])
async def test_the_image_has_the_size_asked_for_and_no_hole(
    backend: DrawingBackend, view: str, size: tuple[int, int]
) -> None:
    width, height = size
    request = RenderRequest("org", "inf_1", STRANGE, view, width, height)

    image = decoded(await backend.render(request))

    assert image.size == size
    assert is_opaque(image)


async def test_the_default_is_1024_pixels_square(backend: DrawingBackend) -> None:
    png = await backend.render(RenderRequest("org", "inf_1", PLAIN, "portrait"))

    assert decoded(png).size == (1024, 1024)
    assert len(png) < 300_000


async def test_the_same_request_gives_the_same_bytes(backend: DrawingBackend) -> None:
    first, second, elsewhere = await asyncio.gather(
        backend.render(REQUEST),
        backend.render(REQUEST),
        backend.render(replace(REQUEST, organization_id="another")),
    )

    assert first == second == elsewhere


async def test_ids_and_views_give_different_images(backend: DrawingBackend) -> None:
    requests = [REQUEST, replace(REQUEST, influencer_id="inf_2"), replace(REQUEST, view="evening")]

    assert len(set(await asyncio.gather(*map(backend.render, requests)))) == 3


@pytest.mark.parametrize("size", [(0, 0), (8, 8), (5000, 5000), (4096, 100), (-1, 64)])
async def test_absurd_sizes_are_rejected(backend: DrawingBackend, size: tuple[int, int]) -> None:
    with pytest.raises(RenderRejected) as raised:
        await backend.render(replace(REQUEST, width=size[0], height=size[1]))

    assert (raised.value.code, raised.value.retryable) == ("RENDER_REJECTED", False)


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP"])
async def test_a_seed_image_gives_its_colors(backend: DrawingBackend, image_format: str) -> None:
    photo = Image.new("RGB", (200, 200), "#203020")
    photo.paste("#c08050", (60, 60, 140, 130))
    photo.paste("#2060c0", (0, 160, 200, 200))
    seeded = replace(REQUEST, seed_images=(encoded(photo, image_format),))

    assert await backend.render(seeded) != await backend.render(REQUEST)
    assert await backend.render(seeded) == await backend.render(seeded)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no image",
        encoded(Image.new("RGB", (9, 9)), "GIF"),
        encoded(Image.new("L", (7000, 6000))),
    ],
    ids=["empty", "text", "gif", "42 megapixels"],
)
async def test_an_unreadable_seed_is_named_as_such(backend: DrawingBackend, content: bytes) -> None:
    with pytest.raises(SeedUnreadable) as raised:
        await backend.render(replace(REQUEST, seed_images=(content,)))

    assert (raised.value.code, raised.value.retryable) == ("SEED_UNREADABLE", False)


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (16, 16)])
async def test_a_tiny_or_thin_seed_is_no_problem(
    backend: DrawingBackend, size: tuple[int, int]
) -> None:
    for mode in ("RGB", "RGBA", "L", "P", "1", "LA"):
        seed = encoded(Image.new(mode, size))
        assert decoded(await backend.render(replace(REQUEST, seed_images=(seed,)))).size


async def test_a_dead_process_is_an_error_once_and_then_replaced(backend: DrawingBackend) -> None:
    await backend.start()
    for worker in backend._workers._processes._idle:
        worker.kill()

    results = await asyncio.gather(
        *(backend.render(REQUEST) for _ in range(2)), return_exceptions=True
    )

    assert all(isinstance(result, RenderBackendError) for result in results)
    assert decoded(await backend.render(REQUEST)).size == (128, 128)


async def test_an_order_that_takes_too_long_is_ended() -> None:
    pool = WorkerPool(1, timeout_seconds=0.001)

    with pytest.raises(RenderTimeout):
        await pool.order(RASTERIZE, compose("inf_1", PLAIN, "portrait", 1024, 1024).encode())

    await pool.close()


async def test_a_canceled_render_leaves_the_backend_usable(backend: DrawingBackend) -> None:
    task = asyncio.create_task(backend.render(replace(REQUEST, width=1024, height=1024)))
    await backend.render(REQUEST)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert await backend.render(REQUEST) == await backend.render(REQUEST)


async def test_a_closed_backend_says_so(backend: DrawingBackend) -> None:
    await backend.start()
    await backend.close()

    with pytest.raises(RenderBackendError):
        await backend.render(REQUEST)


async def test_a_brief_gives_a_picture_of_its_own(backend: DrawingBackend) -> None:
    briefs = ["Sale", "Sale!", "\u202e<script>&\"'\x00", "x" * 1024]
    asked = [replace(REQUEST, view="content", brief=brief) for brief in briefs]

    pictures = await asyncio.gather(*map(backend.render, asked))

    assert len(set(pictures)) == len(briefs)
    assert all(decoded(picture).size == (128, 128) for picture in pictures)
    assert all(is_opaque(decoded(picture)) for picture in pictures)
    assert await backend.render(asked[0]) == pictures[0]


@pytest.mark.parametrize("size", [(16, 128), (128, 16), (300, 128), (97, 203)])
async def test_a_brief_fits_pictures_of_any_proportion(
    backend: DrawingBackend, size: tuple[int, int]
) -> None:
    asked = replace(REQUEST, width=size[0], height=size[1], brief="Many words " * 90)

    picture = decoded(await backend.render(asked))

    assert picture.size == size
    assert is_opaque(picture)


@pytest.mark.parametrize("palette", [None, Palette(skin="#ad7148", hair="#7a2f38")])
def test_whoever_is_in_the_reference_images_is_on_the_picture(palette: Palette | None) -> None:
    """Face, hair and colours are drawn from the very same parts, whatever the brief."""
    described = Profile(name="Ava", gender="female", hair_style="long wavy", vibe="warm")
    identity = identify("inf_1", described, palette)
    lettering = Lettering(920, 200, "")
    for brief in ("Weekend sale!", "Late at night in the city", "Guten Morgen"):
        drawn = compose_poster("inf_1", described, brief, lettering, 1024, 1024, palette)
        reference = compose("inf_1", described, "portrait", 1024, 1024, palette)
        another = compose("inf_2", described, "portrait", 1024, 1024, palette)

        assert _person(drawn) == _person(reference)
        assert identity.skin in drawn
        assert identity.hair_color in drawn
        assert _person(drawn) != _person(another)


def _person(svg: str) -> set[str]:
    """What is drawn of a person in every expression and all clothes: hair, nose, their places."""
    hair = re.findall(
        r'<g id="(?:top|nose|facialHair|accessories)-.*?</g>(?=<g id=|<clipPath|</defs>)', svg
    )
    places = re.findall(r'<g transform="(matrix[^"]*)"><use transform="[^"]*" href="#nose', svg)
    return {re.sub(r"-[0-9a-f]{6,}", "", part) for part in hair} | set(places)


HAIR_STYLES = sorted({rule.words[0].rstrip(".") for rule in HAIR_RULES})


@pytest.mark.parametrize("view", VIEWS)
def test_nothing_of_the_figure_is_cut_off(view: str) -> None:
    """Above and on both sides of the head there is room, whatever the hair and the build."""
    for number, hair_style in enumerate(HAIR_STYLES):
        described = Profile(name="x", hair_style=hair_style, body_type="muscular")
        influencer_id = f"inf_{number}"
        identity = identify(influencer_id, described)
        look = appear(influencer_id, described, identity, view)
        svg = (
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1024 1024" width="128" '
            f'height="128"><g fill="none" transform="{placement(look.framing)}">'
            f"{figure(identity, look)}</g></svg>"
        )
        alpha = decoded(resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True))
        left, top, right, bottom = alpha.getchannel("A").getbbox() or (0, 0, 0, 0)
        assert left > 0, hair_style
        assert top > 0, hair_style
        assert right < 128, hair_style
        assert bottom == 128, hair_style
