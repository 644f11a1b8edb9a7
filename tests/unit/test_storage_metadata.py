"""Pictures without what they tell of their makers; their pixels stay as they are."""

import struct
import zlib
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from services.core.storage.errors import ImageUnreadable
from services.core.storage.inspection import inspect_image
from services.core.storage.metadata import NotAPicture, without_metadata

ORIENTATION, MAKER, PLACE = 0x0112, 0x010F, 0x8825
FORMATS = ("PNG", "JPEG", "WEBP")


def photo(image_format: str, orientation: int | None = None, **options: Any) -> bytes:
    """A picture, blue on the left, that tells who made it and where."""
    image = Image.effect_noise((64, 40), 80).convert("RGB")
    image.paste("blue", (0, 0, 32, 40))
    exif = Image.Exif()
    exif[MAKER] = "SECRET maker"
    exif.get_ifd(PLACE)[29] = "SECRET place"
    if orientation:
        exif[ORIENTATION] = orientation
    target = BytesIO()
    image.save(target, image_format, exif=exif, **options)
    return target.getvalue()


def pixels(content: bytes) -> bytes:
    with Image.open(BytesIO(content)) as image:
        return image.convert("RGBA").tobytes()


def exif_of(content: bytes) -> dict[int, Any]:
    with Image.open(BytesIO(content)) as image:
        return dict(image.getexif())


@pytest.mark.parametrize("image_format", FORMATS)
def test_what_a_photo_tells_of_its_maker_is_gone(image_format: str) -> None:
    content = photo(image_format)
    assert b"SECRET" in content

    kept = without_metadata(content).content

    assert b"SECRET" not in kept
    assert exif_of(kept) == {}
    assert pixels(kept) == pixels(content)


@pytest.mark.parametrize("image_format", FORMATS)
@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_photo_stays_turned_as_it_was(image_format: str, orientation: int) -> None:
    content = photo(image_format, orientation)

    kept = without_metadata(content).content

    assert exif_of(kept) == {ORIENTATION: orientation}
    assert b"SECRET" not in kept
    assert pixels(kept) == pixels(content)


@pytest.mark.parametrize("image_format", FORMATS)
@pytest.mark.parametrize(("orientation", "size"), [(1, (64, 40)), (3, (64, 40)), (6, (40, 64))])
def test_sizes_and_thumbnail_are_as_it_is_looked_at(
    image_format: str, orientation: int, size: tuple[int, int]
) -> None:
    image = inspect_image(photo(image_format, orientation))

    assert (image.width, image.height) == size
    with Image.open(BytesIO(image.thumbnail)) as thumbnail:
        assert thumbnail.size == size
        assert dict(thumbnail.getexif()) == {}
        blue_at = {1: (2, 20), 3: (60, 20), 6: (20, 2)}[orientation]
        red, _, blue = thumbnail.convert("RGB").getpixel(blue_at)  # type: ignore[misc]
        assert blue > 180 > 80 > red


@pytest.mark.parametrize("image_format", FORMATS)
def test_a_picture_that_tells_nothing_comes_back_byte_for_byte(image_format: str) -> None:
    target = BytesIO()
    Image.effect_noise((64, 40), 80).save(target, image_format)

    assert without_metadata(target.getvalue()).content == target.getvalue()


@pytest.mark.parametrize("image_format", FORMATS)
def test_stripping_again_changes_nothing(image_format: str) -> None:
    once = without_metadata(photo(image_format, 6)).content

    assert without_metadata(once).content == once


@pytest.mark.parametrize("image_format", FORMATS)
def test_the_colour_profile_stays(image_format: str) -> None:
    content = photo(image_format, icc_profile=b"a profile of colours")

    kept = without_metadata(content).content

    with Image.open(BytesIO(kept)) as image:
        assert image.info["icc_profile"] == b"a profile of colours"


@pytest.mark.parametrize("image_format", FORMATS)
def test_what_follows_the_picture_is_gone(image_format: str) -> None:
    content = photo(image_format)

    assert without_metadata(content + b"SECRET film").content == without_metadata(content).content


def test_comments_and_texts_are_gone() -> None:
    comment = without_metadata(photo("JPEG", comment=b"SECRET")).content
    text = (
        struct.pack(">I", 8)
        + b"tEXtk\x00SECRET"
        + struct.pack(">I", zlib.crc32(b"tEXtk\x00SECRET"))
    )
    content = photo("PNG")
    end = content.index(b"\x00\x00\x00\x00IEND")
    kept = without_metadata(content[:end] + text + content[end:]).content

    assert b"SECRET" not in comment + kept


def test_a_progressive_photo_keeps_all_its_scans() -> None:
    content = photo("JPEG", progressive=True, optimize=True)

    assert pixels(without_metadata(content).content) == pixels(content)


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"\x89PNG", b"RIFF\x00\x00\x00\x00WAVE"])
def test_what_is_no_picture_is_refused(content: bytes) -> None:
    with pytest.raises(NotAPicture):
        without_metadata(content)


@settings(max_examples=200, deadline=None)
@given(
    image_format=st.sampled_from(FORMATS),
    place=st.integers(0, 5000),
    junk=st.binary(min_size=1, max_size=12),
)
def test_broken_pictures_are_unreadable_and_nothing_else(
    image_format: str, place: int, junk: bytes
) -> None:
    content = photo(image_format, 6)
    place %= len(content)
    broken = content[:place] + junk + content[place + len(junk) :]

    try:
        assert b"SECRET" not in inspect_image(broken).content.replace(junk, b"")
    except ImageUnreadable:
        return
