"""The default backend: draws a character, without a GPU, a key or the network."""

import asyncio
import json
import os
from collections.abc import Iterable

from services.core.rendering.backdrop import canvas_for
from services.core.rendering.base import (
    RenderBackendError,
    RenderRejected,
    RenderRequest,
    SeedUnreadable,
)
from services.core.rendering.composition import compose, compose_poster
from services.core.rendering.figure import load_style
from services.core.rendering.identity import Palette
from services.core.rendering.lettering import Lettering
from services.core.rendering.poster import text_boxes, text_width
from services.core.rendering.worker import RASTERIZE, READ_PALETTE, SET_TEXT
from services.core.rendering.worker_pool import UnreadableOrder, WorkerPool

MIN_PIXELS = 16
MAX_PIXELS = 4096
MAX_PROPORTION = 8
DEFAULT_TIMEOUT_SECONDS = 30.0


class DrawingBackend:
    """Draws with DiceBear (the figure), our own backdrops and resvg (SVG to PNG).

    The same request gives the same bytes, always. `processes` draw at the same time; None stands
    for one per processor, at most four. `start` is optional; without it the first request waits.
    """

    name = "drawing"

    def __init__(
        self,
        processes: int | None = None,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> None:
        self._workers = WorkerPool(processes or _usual_processes(), timeout_seconds)

    async def start(self) -> None:
        """Load the style and start the processes (about a second), ahead of the first request."""
        await asyncio.gather(asyncio.to_thread(load_style), self._workers.start())

    async def render(self, request: RenderRequest) -> bytes:
        """Return an opaque PNG of exactly the size asked for.

        Raises RenderRejected for a size out of bounds, SeedUnreadable, RenderTimeout and
        RenderBackendError.
        """
        _check_size(request)
        palette = await self._palette(request.seed_images)
        lettering = await self._lettering(request)
        svg = await asyncio.to_thread(_composed, request, palette, lettering)
        return await self._workers.order(RASTERIZE, svg.encode())

    async def close(self) -> None:
        """End the processes."""
        await self._workers.close()

    async def _palette(self, seed_images: Iterable[bytes]) -> Palette | None:
        palettes = [await self._palette_of(image) for image in seed_images]
        return _combined(palettes) if palettes else None

    async def _palette_of(self, seed_image: bytes) -> Palette:
        try:
            return Palette(**json.loads(await self._workers.order(READ_PALETTE, seed_image)))
        except UnreadableOrder as error:
            raise SeedUnreadable(f"a seed image is unreadable: {error}") from error

    async def _lettering(self, request: RenderRequest) -> Lettering | None:
        if request.brief is None:
            return None
        canvas = canvas_for(request.width, request.height)
        order = {
            "text": request.brief,
            "width": text_width(canvas),
            "boxes": text_boxes(canvas),
        }
        return Lettering(
            *json.loads(await self._workers.order(SET_TEXT, json.dumps(order).encode()))
        )


def _usual_processes() -> int:
    return min(4, os.cpu_count() or 1)


def _check_size(request: RenderRequest) -> None:
    short, long = sorted((request.width, request.height))
    if short < MIN_PIXELS or long > MAX_PIXELS or long > short * MAX_PROPORTION:
        raise RenderRejected(f"cannot draw {request.width} x {request.height} pixels")


def _composed(request: RenderRequest, palette: Palette | None, lettering: Lettering | None) -> str:
    who, size = (request.influencer_id, request.profile), (request.width, request.height)
    try:
        if request.brief is None or lettering is None:
            return compose(*who, request.view, *size, palette)
        return compose_poster(*who, request.brief, lettering, *size, palette)
    except Exception as error:
        raise RenderBackendError(f"the drawing could not be composed: {error}") from error


def _combined(palettes: list[Palette]) -> Palette:
    """Take each colour from the first seed image that shows it."""
    return Palette(
        skin=next((palette.skin for palette in palettes if palette.skin), None),
        hair=next((palette.hair for palette in palettes if palette.hair), None),
        clothes=next((palette.clothes for palette in palettes if palette.clothes), None),
    )
