"""API4: bytes that claim little and unfold to much are looked at where they hurt nobody."""

import asyncio
import resource
import struct
import zlib
from pathlib import Path

import pytest

from services.core.storage import inspection_worker, inspector
from tests.integration.api.calling import Caller
from tests.integration.api.pictures import inline, media_of, picture

MIB = 2**20


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def png(width: int, height: int, *more: bytes, pixels: bytes = b"\x00" * 64) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *more, chunk(b"IDAT", zlib.compress(pixels, 9))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


def zeros(mebibytes: int) -> bytes:
    """So many of zeros, compressed a thousandfold."""
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(MIB)) for _ in range(mebibytes)) + packer.flush()


BOMBS = {
    "ten gigapixels": png(100_000, 100_000),
    "2^31 pixels wide": png(2**31 - 1, 1),
    "more pixels than it says": png(16, 16, pixels=bytes(100 * MIB)),
    "pixels for all it says, 160 MB": png(6300, 6300, pixels=bytes(6300 * (6300 * 4 + 1))),
    "a text of 200 MiB": png(16, 16, chunk(b"zTXt", b"a\x00\x00" + zeros(200))),
    "a profile of 200 MiB": png(16, 16, chunk(b"iCCP", b"a\x00\x00" + zeros(200))),
    "an international text": png(16, 16, chunk(b"iTXt", b"a\x00\x01\x00\x00\x00" + zeros(150))),
    "a thousand laughs": b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha">'
    b'<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><svg>&b;</svg>',
    "an address to fetch": b'<svg><image href="http://127.0.0.1:9/"/></svg>',
    "a program for a printer": b"%!PS-Adobe-3.0 EPSF-3.0\n(%pipe%id) (r) file\n",
}


@pytest.mark.parametrize("content", BOMBS.values(), ids=BOMBS)
async def test_a_bomb_costs_the_api_neither_memory_nor_time(caller: Caller, content: bytes) -> None:
    body = inline(content)
    assert len(body["dataBase64"]) < 256 * 1024 * 4 // 3
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    uploading = asyncio.create_task(caller.post(media_of(caller), body))
    while not uploading.done():
        async with asyncio.timeout(5):
            assert (await caller.get("/v1/whoami")).status == 200
    answer = uploading.result()
    assert answer.status in (201, 422), answer
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < 60 * MIB
    assert (await caller.post(media_of(caller), inline(picture()))).status == 201


def test_images_are_decoded_by_a_process_with_limits_and_nowhere_else() -> None:
    assert inspection_worker.MEMORY_LIMIT <= 1024 * MIB
    assert "WorkerProcesses(inspection_worker.__name__" in Path(inspector.__file__).read_text()
    api = Path("services/api")
    assert not [file for file in api.rglob("*.py") if "PIL" in file.read_text()]
