"""The colours of a photo, however the camera was held."""

from io import BytesIO

import pytest
from PIL import ExifTags, Image, ImageDraw, ImageOps

from services.core.rendering.seed_palette import palette_of

SKIN, HAIR, CLOTHES = "#c89070", "#302018", "#2040c0"
# What turns an upright picture into the pixels of a camera that was held so.
AS_HELD = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def portrait() -> Image.Image:
    """Hair above a face above clothes, before a green wall."""
    picture = Image.new("RGB", (300, 400), "#20a040")
    draw = ImageDraw.Draw(picture)
    draw.rectangle((75, 16, 225, 120), HAIR)
    draw.rectangle((105, 121, 195, 260), SKIN)
    draw.rectangle((45, 320, 255, 399), CLOTHES)
    return picture


def photo(orientation: int, image_format: str) -> bytes:
    held = AS_HELD[orientation]
    picture = portrait() if held is None else portrait().transpose(held)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    target = BytesIO()
    picture.save(
        target, image_format, exif=exif, **({"lossless": True} if image_format == "WEBP" else {})
    )
    return target.getvalue()


@pytest.mark.parametrize("image_format", ["PNG", "WEBP"])
@pytest.mark.parametrize("orientation", AS_HELD)
def test_a_photo_has_the_colors_that_a_viewer_sees(orientation: int, image_format: str) -> None:
    content = photo(orientation, image_format)
    with Image.open(BytesIO(content)) as image:
        upright = ImageOps.exif_transpose(image)
        assert upright.convert("RGB").tobytes() == portrait().tobytes()
    assert palette_of(content) == {"skin": SKIN, "hair": HAIR, "clothes": CLOTHES}


@pytest.mark.parametrize("orientation", AS_HELD)
def test_a_large_jpeg_is_turned_too(orientation: int) -> None:
    palette = palette_of(photo(orientation, "JPEG"))
    for name, expected in (("skin", SKIN), ("hair", HAIR), ("clothes", CLOTHES)):
        assert is_close(palette[name], expected), (name, palette)


def is_close(color: str | None, expected: str) -> bool:
    assert color
    pairs = [(int(color[at : at + 2], 16), int(expected[at : at + 2], 16)) for at in (1, 3, 5)]
    return all(abs(ours - theirs) <= 12 for ours, theirs in pairs)
