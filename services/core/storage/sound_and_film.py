"""What a file of sound or film is, by its first bytes and its layout. It is never decoded."""

import struct
from collections.abc import Callable
from types import MappingProxyType

_FILM_BRANDS = (b"isom", b"iso", b"mp4", b"avc1", b"M4V", b"MSNV", b"dash", b"f4v")
_LAYER_3 = 0b01


def sound_or_film_of(content: bytes) -> str | None:
    """`video/mp4`, `video/webm`, `audio/mpeg`, `audio/wav` or `audio/ogg`; None for all else."""
    return next((kind for kind, is_one in _TESTS.items() if is_one(content)), None)


def _is_mp4(content: bytes) -> bool:
    if content[4:8] != b"ftyp" or not content[8:12].startswith(_FILM_BRANDS):
        return False
    start, kinds = 0, set()
    while start + 8 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, start)
        if size == 1 and start + 16 <= len(content):
            (size,) = struct.unpack_from(">Q", content, start + 8)
        kinds.add(kind)
        if size < 8 or start + size > len(content):
            return size == 0 and b"moov" in kinds  # 0: up to the end
        start += size
    return b"moov" in kinds


def _is_webm(content: bytes) -> bool:
    return content.startswith(b"\x1a\x45\xdf\xa3") and b"\x42\x82\x84webm" in content[:64]


def _is_mp3(content: bytes) -> bool:
    if content.startswith(b"ID3"):
        return len(content) > 10 and all(byte < 0x80 for byte in content[6:10])
    if len(content) < 4 or content[0] != 0xFF or content[1] & 0xE0 != 0xE0:
        return False
    version, layer = content[1] >> 3 & 3, content[1] >> 1 & 3
    bit_rate, sample_rate = content[2] >> 4, content[2] >> 2 & 3
    return version != 1 and layer == _LAYER_3 and bit_rate not in (0, 15) and sample_rate != 3


def _is_wav(content: bytes) -> bool:
    return content[:4] == b"RIFF" and content[8:12] == b"WAVE" and b"fmt " in content[12:4096]


def _is_ogg(content: bytes) -> bool:
    return content.startswith(b"OggS\x00") and len(content) > 27


_TESTS: MappingProxyType[str, Callable[[bytes], bool]] = MappingProxyType(
    {
        "video/mp4": _is_mp4,
        "video/webm": _is_webm,
        "audio/mpeg": _is_mp3,
        "audio/wav": _is_wav,
        "audio/ogg": _is_ogg,
    }
)
