"""A backend that costs next to nothing, so that faults meet many jobs at many stages."""

import asyncio
import os
import struct
import zlib
from collections import Counter
from functools import cache
from io import BytesIO

from PIL import Image

from services.core.rendering.base import RenderBusy, RenderRejected, RenderRequest

RENDER_SECONDS = 0.03


class TinyBackend:
    """A picture of a single colour that follows from the influencer and the view."""

    name = "tiny"

    async def start(self) -> None:
        return

    async def render(self, request: RenderRequest) -> bytes:
        await asyncio.sleep(RENDER_SECONDS)
        seed = hash_of(request.influencer_id + request.view)
        image = Image.new("RGB", (16, 16), (seed % 256, seed // 256 % 256, seed // 65536 % 256))
        encoded = BytesIO()
        image.save(encoded, "PNG")
        return encoded.getvalue()

    async def close(self) -> None:
        return


def hash_of(text: str) -> int:
    number = 0
    for character in text:
        number = (number * 131 + ord(character)) % (1 << 24)
    return number


def tiny() -> TinyBackend:
    return TinyBackend()


class MoodyBackend(TinyBackend):
    """Every third picture comes late, never, broken, or not at all; which is by the request.

    Standard error says each time that it was not in the mood.
    """

    name = "moody"

    def __init__(self) -> None:
        self._asked: Counter[tuple[str, str]] = Counter()

    async def render(self, request: RenderRequest) -> bytes:
        place = (request.influencer_id, request.view)
        self._asked[place] += 1
        number = hash_of("".join(place) + str(self._asked[place])) % MOODS_OF
        if number >= len(MOODS) or (MOODS[number] == "refuses" and self._asked[place] > 1):
            return await super().render(request)
        os.write(2, f"{said_of(MOODS[number])}\n".encode())
        return await self._in_a_mood(MOODS[number], request)

    async def _in_a_mood(self, mood: str, request: RenderRequest) -> bytes:
        match mood:
            case "hangs":
                await asyncio.sleep(3600)
            case "is slow":
                await asyncio.sleep(0.5)
            case "gives garbage":
                return b"no picture at all"
            case "says 429":
                raise RenderBusy("429 Too Many Requests", retry_after=0.1)
            case "refuses":
                raise RenderRejected("The description asks for a trademark.")
            case "has a bug":
                raise RuntimeError("a bug of the backend's")
            case "stops halfway":
                return (await super().render(request))[:-20]
            case "gives a bomb":
                return picture_bomb()
        return await super().render(request)


MOODS = (
    "hangs",
    "is slow",
    "gives garbage",
    "says 429",
    "refuses",
    "has a bug",
    "stops halfway",
    "gives a bomb",
)
MOODS_OF = 24
"""Pictures, among which each mood comes up once."""
BOMB_SIDE = 20_000


def said_of(mood: str) -> str:
    return f"the backend {mood}"


@cache
def picture_bomb() -> bytes:
    """A PNG of a few dozen kilobytes, which is 400 million pixels."""
    header = struct.pack(">IIBBBBB", BOMB_SIDE, BOMB_SIDE, 1, 0, 0, 0, 0)
    squeezer = zlib.compressobj(9)
    row = bytes(1 + BOMB_SIDE // 8)
    rows = b"".join(squeezer.compress(row) for _ in range(BOMB_SIDE)) + squeezer.flush()
    chunks = (b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in chunks)


def _chunk(kind: bytes, body: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + body))
    return struct.pack(">I", len(body)) + kind + body + checksum


def moody() -> MoodyBackend:
    return MoodyBackend()
