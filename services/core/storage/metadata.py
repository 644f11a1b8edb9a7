"""Pictures without what they tell of their makers: where, when and with what they were taken.

Pixels are never encoded again. What is kept is what a picture needs to look right: pixels, colour
profile, transparency, animation, and the orientation of a photo. A picture that carries nothing
else comes back byte for byte.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from typing import Literal, NamedTuple

from PIL import Image

Format = Literal["PNG", "JPEG", "WEBP"]

_ORIENTATION = 0x0112
_UPRIGHT = 1

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = frozenset(
    b"IHDR PLTE IDAT IEND tRNS cHRM gAMA iCCP sBIT sRGB cICP bKGD pHYs acTL fcTL fdAT".split()
)

_JPEG = b"\xff\xd8"
_JPEG_EXIF = b"Exif\x00\x00"
_JPEG_PROFILE = b"ICC_PROFILE\x00"
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_COMMENT = 0xFE
_APPLICATION = range(0xE0, 0xF0)
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])", re.DOTALL)
"""A marker behind compressed data: neither a stuffed byte nor a restart."""

_WEBP_KEPT = frozenset((b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"))
_WEBP_EXIF_FLAG, _WEBP_XMP_FLAG = 0x08, 0x04


class NotAPicture(ValueError):
    """The bytes are not laid out as PNG, JPEG or WebP."""


class Picture(NamedTuple):
    format: Format
    content: bytes


def without_metadata(content: bytes) -> Picture:
    """Raises NotAPicture."""
    try:
        if content.startswith(_PNG):
            return Picture("PNG", _png(content))
        if content.startswith(_JPEG):
            return Picture("JPEG", _jpeg(content))
        if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
            return Picture("WEBP", _webp(content))
    except (struct.error, IndexError) as fault:
        raise NotAPicture("cut off") from fault
    raise NotAPicture("neither PNG, JPEG nor WebP")


def _png(content: bytes) -> bytes:
    kept = [_PNG]
    for kind, start, end in _png_chunks(content):
        if kind in _PNG_KEPT:
            kept.append(content[start:end])
        elif kind == b"eXIf":
            kept.append(_png_exif(content[start + 8 : end - 4]))
        if kind == b"IEND":
            break
    return b"".join(kept)


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    start = len(_PNG)
    while start < len(content):
        length, kind = struct.unpack_from(">I4s", content, start)
        yield kind, start, start + length + 12
        start += length + 12


def _png_exif(exif: bytes) -> bytes:
    upright = _orientation_only(exif)
    if not upright:
        return b""
    checked = b"eXIf" + upright
    return struct.pack(">I", len(upright)) + checked + struct.pack(">I", zlib.crc32(checked))


def _jpeg(content: bytes) -> bytes:
    kept = [_JPEG]
    start = len(_JPEG)
    while found := _MARKER.search(content, start):
        marker = found[1][0]
        if marker == _END_OF_IMAGE:
            kept.append(b"\xff\xd9")
            break
        end = found.end()
        if marker not in _WITHOUT_LENGTH:
            end += struct.unpack_from(">H", content, end)[0]
        segment = content[found.end() - 2 : end]
        kept.append(_jpeg_segment(marker, segment))
        start = end
        if marker == _START_OF_SCAN:
            following = _MARKER.search(content, end)
            start = following.start() if following else len(content)
            kept.append(content[end:start])
    return b"".join(kept)


def _jpeg_segment(marker: int, segment: bytes) -> bytes:
    payload = segment[4:]
    if marker == 0xE1 and payload.startswith(_JPEG_EXIF):
        upright = _orientation_only(payload[len(_JPEG_EXIF) :])
        return _jpeg_exif(upright) if upright else b""
    is_profile = marker == 0xE2 and payload.startswith(_JPEG_PROFILE)
    is_needed = marker in (0xE0, 0xEE) and payload.startswith((b"JFIF\x00", b"Adobe"))
    is_told = marker in _APPLICATION or marker == _COMMENT
    return segment if is_profile or is_needed or not is_told else b""


def _jpeg_exif(exif: bytes) -> bytes:
    payload = _JPEG_EXIF + exif
    return b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload


def _webp(content: bytes) -> bytes:
    (size,) = struct.unpack_from("<I", content, 4)
    kept, exif = [], b""
    for kind, start, end in _webp_chunks(content[: size + 8]):
        if kind == b"EXIF":
            exif = exif or _orientation_only(content[start + 8 : end])
        elif kind in _WEBP_KEPT:
            kept.append(content[start:end])
    if exif:
        kept.append(_webp_chunk(b"EXIF", exif))
    body = b"WEBP" + b"".join(_webp_flags(chunk, bool(exif)) for chunk in kept)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _webp_chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    start = 12
    while start < len(content):
        kind, length = struct.unpack_from("<4sI", content, start)
        end = start + 8 + length + length % 2
        yield kind, start, end
        start = end


def _webp_flags(chunk: bytes, has_exif: bool) -> bytes:
    if not chunk.startswith(b"VP8X"):
        return chunk
    flags = chunk[8] & ~(_WEBP_EXIF_FLAG | _WEBP_XMP_FLAG)
    return chunk[:8] + bytes([flags | (_WEBP_EXIF_FLAG if has_exif else 0)]) + chunk[9:]


def _webp_chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack("<4sI", kind, len(payload)) + payload + b"\x00" * (len(payload) % 2)


def _orientation_only(exif: bytes) -> bytes:
    """EXIF that says how the picture is turned and nothing else; empty for an upright one."""
    orientation = _orientation(exif)
    if orientation == _UPRIGHT:
        return b""
    one_short = struct.pack(">HHHIHH", 1, _ORIENTATION, 3, 1, orientation, 0)
    return b"MM\x00*\x00\x00\x00\x08" + one_short + b"\x00\x00\x00\x00"


def _orientation(exif: bytes) -> int:
    tags = Image.Exif()
    try:
        tags.load(exif)
        orientation = tags.get(_ORIENTATION, _UPRIGHT)
    except Exception:  # Pillow raises nearly anything on broken EXIF
        return _UPRIGHT
    return orientation if orientation in range(1, 9) else _UPRIGHT
