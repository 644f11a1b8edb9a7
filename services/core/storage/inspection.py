"""What the bytes of an image really are. Decodes them: for strangers' bytes use an Inspector."""

from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageOps

from services.core.storage.errors import ImageUnreadable
from services.core.storage.metadata import NotAPicture, Picture, without_metadata

THUMBNAIL_PIXELS = 256
MAX_PIXELS = 40_000_000

_EXTENSION_OF_FORMAT = {"PNG": "png", "WEBP": "webp", "JPEG": "jpg"}
_TURNED = range(5, 9)
_ORIENTATION = 0x0112


@dataclass(frozen=True, slots=True)
class InspectedImage:
    """`content` is the image as it is to be kept, without metadata; sizes as it is looked at."""

    content: bytes
    extension: str
    width: int
    height: int
    thumbnail: bytes


def inspect_image(content: bytes) -> InspectedImage:
    """Decodes a PNG, WebP or JPEG of at most 40 megapixels. Raises ImageUnreadable."""
    try:
        return _inspected(without_metadata(content))
    except ImageUnreadable:
        raise
    except NotAPicture as fault:
        raise ImageUnreadable(f"it does not decode as PNG, WebP or JPEG: {fault}") from fault
    except MemoryError as fault:
        raise ImageUnreadable("it takes too much memory to decode") from fault
    except Exception as fault:  # Pillow's decoders raise nearly anything on broken input
        raise ImageUnreadable("it does not decode as PNG, WebP or JPEG") from fault


def _inspected(picture: Picture) -> InspectedImage:
    with Image.open(BytesIO(picture.content), formats=(picture.format,)) as image:
        # Before any pixel is decoded; Pillow's own limit is global state and much higher.
        if image.width * image.height > MAX_PIXELS:
            raise ImageUnreadable("more than 40 megapixels")
        width, height = image.size
        thumbnail = _thumbnail(image)
        if image.getexif().get(_ORIENTATION) in _TURNED:
            width, height = height, width
    extension = _EXTENSION_OF_FORMAT[picture.format]
    return InspectedImage(picture.content, extension, width, height, thumbnail)


def _eight_bits(image: Image.Image) -> Image.Image:
    """A copy; 16-bit greys scaled, which Pillow would only clip."""
    if not image.mode.startswith("I"):
        return image.copy()
    return image.convert("I").point(lambda level: level * (1 / 256) + 0).convert("L")


def _thumbnail(image: Image.Image) -> bytes:
    image.draft("RGB", (THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
    small = _eight_bits(image)
    # Halving by whole steps first makes the resampling several times cheaper at no visible loss.
    small.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS), Image.Resampling.LANCZOS, reducing_gap=2)
    small.getexif()[_ORIENTATION] = image.getexif().get(_ORIENTATION, 1)
    mode = "RGBA" if small.has_transparency_data else "RGB"
    upright = ImageOps.exif_transpose(small).convert(mode)
    target = BytesIO()
    upright.save(target, "WEBP", quality=82, method=2, exif=b"")
    return target.getvalue()
