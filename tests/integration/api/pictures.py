"""Files to upload."""

import struct
from base64 import b64encode
from io import BytesIO
from typing import Any

from PIL import Image

from tests.integration.api.calling import Answer, Caller


def picture(
    color: str = "teal", image_format: str = "PNG", size: tuple[int, int] = (64, 40)
) -> bytes:
    target = BytesIO()
    Image.new("RGB", size, color).save(target, image_format)
    return target.getvalue()


def photo_of_somewhere() -> bytes:
    exif = Image.Exif()
    exif[0x010F] = "SECRET maker"
    exif.get_ifd(0x8825)[29] = "SECRET place"
    target = BytesIO()
    Image.new("RGB", (64, 40), "olive").save(target, "JPEG", exif=exif)
    return target.getvalue()


def film() -> bytes:
    def box(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I4s", len(content) + 8, kind) + content

    return box(b"ftyp", b"isom\x00\x00\x02\x00isomiso2") + box(b"moov", b"\x00" * 99)


SOUND = b"ID3\x04\x00\x00\x00\x00\x00\x00" + b"\xff\xfb\x90\x00" + b"\x00" * 413
WAVE = b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00" + b"\x00" * 24
OGG = b"OggS\x00\x02" + b"\x00" * 60
WEBM = b"\x1a\x45\xdf\xa3\x93\x42\x86\x81\x01\x42\x82\x84webm" + b"\x00" * 40


def inline(content: bytes, **fields: Any) -> dict[str, Any]:
    """The body of an inline upload."""
    return {
        "kind": "image",
        "mimeType": "image/png",
        "dataBase64": b64encode(content).decode(),
        **fields,
    }


def media_of(caller: Caller) -> str:
    return f"/v1/projects/{caller.project_id}/media"


async def upload(caller: Caller, content: bytes, **fields: Any) -> Any:
    """The asset that an inline upload gives."""
    answer = await caller.post(media_of(caller), inline(content, **fields))
    assert answer.status == 201, answer
    return answer.json


async def presign(caller: Caller, **fields: Any) -> Any:
    body = {"kind": "image", "mimeType": "image/png", **fields}
    answer = await caller.post(f"{media_of(caller)}/presign", body)
    assert answer.status == 201, answer
    return answer.json


async def finalize(caller: Caller, upload_id: str, **headers: str) -> Answer:
    return await caller.post(f"{media_of(caller)}/finalize", {"uploadId": upload_id}, **headers)
