"""The colours of a seed image: where a portrait usually has hair, face and clothes.

Runs in a worker process: the bytes come from strangers.
"""

from io import BytesIO

from PIL import ExifTags, Image, ImageOps

from services.core.rendering.colors import from_channels, luminance

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_PIXELS = 40_000_000
_SIDE = 96

# Left, top, right, bottom as shares of the picture.
_HAIR = (0.3, 0.06, 0.7, 0.26)
_FACE = (0.38, 0.34, 0.62, 0.56)
_CLOTHES = (0.2, 0.84, 0.8, 1.0)

Box = tuple[float, float, float, float]


class UnreadableImage(ValueError):
    """The bytes are not an image of an accepted format and size."""


def palette_of(content: bytes) -> dict[str, str | None]:
    """Return `skin`, `hair` and `clothes` as `#rrggbb`, None where the place shows no such thing.

    Raises UnreadableImage.
    """
    picture = _small(content)
    skin = next((color for color in _dominant(picture, _FACE) if _is_skin(color)), None)
    hair = next((color for color in _dominant(picture, _HAIR) if color != skin), None)
    return {"skin": skin, "hair": hair, "clothes": next(iter(_dominant(picture, _CLOTHES)), None)}


def _small(content: bytes) -> Image.Image:
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UnreadableImage("more than 40 megapixels")
            image.draft("RGB", (_SIDE * 2, _SIDE * 2))
            small = _opaque(image).resize((_SIDE, _SIDE), Image.Resampling.BOX)
            return _upright(small, image.getexif().get(ExifTags.Base.Orientation, 1))
    except UnreadableImage:
        raise
    except Exception as error:
        # Pillow's decoders raise nearly anything on broken input.
        raise UnreadableImage("it does not decode as PNG, JPEG or WebP") from error


def _upright(picture: Image.Image, orientation: int) -> Image.Image:
    """As a viewer shows it: cameras say how they were held, and leave the pixels as they came."""
    picture.getexif()[ExifTags.Base.Orientation] = orientation
    return ImageOps.exif_transpose(picture)


def _opaque(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def _dominant(picture: Image.Image, box: Box) -> list[str]:
    """Return up to five colours of the region, the most frequent first."""
    left, top, right, bottom = (int(share * _SIDE) for share in box)
    region = picture.crop((left, top, right, bottom))
    reduced = region.quantize(5, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    counts = reduced.histogram()
    palette = reduced.getpalette() or []
    frequent = sorted((index for index in range(5) if counts[index]), key=lambda i: -counts[i])
    return [from_channels(*palette[index * 3 : index * 3 + 3]) for index in frequent]


def _is_skin(color: str) -> bool:
    red, green, blue = (int(color[start : start + 2], 16) for start in (1, 3, 5))
    warm = red > green >= blue * 0.9 and red - blue >= 14
    return warm and 0.14 < luminance(color) < 0.93
