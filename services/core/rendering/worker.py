"""A worker process: sets text, turns SVG into PNG, reads seed images, one order after the other.

Started by `worker_pool.py`, and kept light: it imports nothing of the service but what it needs.
An order is a kind (1 byte) and what it is about.
"""

import json

import resvg_py

from services.core.rendering.seed_palette import UnreadableImage, palette_of
from services.core.worker_processes import OrderRefused, serve_orders

RASTERIZE, READ_PALETTE, SET_TEXT = b"R", b"P", b"T"

MEMORY_LIMIT_BYTES = 1536 * 1024 * 1024


def _carry_out(order: bytes) -> bytes:
    kind, content = order[:1], order[1:]
    if kind == RASTERIZE:
        return _rasterized(content.decode())
    if kind == SET_TEXT:
        return _set_text(content)
    try:
        return json.dumps(palette_of(content)).encode()
    except UnreadableImage as error:
        raise OrderRefused(str(error)) from error


def _rasterized(svg: str) -> bytes:
    # No system fonts: the picture must be the same on every machine, and its text is outlines.
    return resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True)


def _set_text(order: bytes) -> bytes:
    # Here, because the typesetter is large and only some workers ever need it.
    from services.core.rendering.lettering import Box
    from services.core.rendering.typesetter import set_text

    wanted = json.loads(order)
    boxes = [Box(*box) for box in wanted["boxes"]]
    return json.dumps(set_text(wanted["text"], wanted["width"], boxes)).encode()


if __name__ == "__main__":
    serve_orders(_carry_out, MEMORY_LIMIT_BYTES)
