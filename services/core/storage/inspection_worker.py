"""A worker process: looks at one image after the other. Started by `inspector.py`."""

import json
import struct

from services.core.storage.errors import ImageUnreadable
from services.core.storage.inspection import InspectedImage, inspect_image
from services.core.worker_processes import OrderRefused, serve_orders

MEMORY_LIMIT = 1024 * 1024 * 1024
_LENGTHS = struct.Struct(">II")


def _carry_out(content: bytes) -> bytes:
    try:
        return packed(inspect_image(content), content)
    except ImageUnreadable as fault:
        raise OrderRefused(fault.reason) from fault


def packed(image: InspectedImage, given: bytes) -> bytes:
    """`image` as the worker answers it; its content only where it is not what was `given`."""
    described = json.dumps([image.extension, image.width, image.height]).encode()
    changed = b"" if image.content == given else image.content
    return _LENGTHS.pack(len(described), len(image.thumbnail)) + (
        described + image.thumbnail + changed
    )


def unpacked(answer: bytes, given: bytes) -> InspectedImage:
    described, thumbnail = _LENGTHS.unpack_from(answer)
    thumbnail_at = _LENGTHS.size + described
    content_at = thumbnail_at + thumbnail
    extension, width, height = json.loads(answer[_LENGTHS.size : thumbnail_at])
    content = answer[content_at:] or given
    return InspectedImage(content, extension, width, height, answer[thumbnail_at:content_at])


if __name__ == "__main__":
    serve_orders(_carry_out, MEMORY_LIMIT)
