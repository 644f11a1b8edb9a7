"""One image of a job: rendered, stored, described."""

import asyncio
import time
from dataclasses import dataclass

from prometheus_client import Histogram

from schemas.ids import IdentifierSource, Prefix
from schemas.images import ReferenceImage
from services.core.clock import Clock, timestamp
from services.core.domain.state import Influencer
from services.core.failpoints import fail_point
from services.core.rendering.base import (
    RenderBackend,
    RenderBackendError,
    RenderRequest,
    RenderTimeout,
    SeedUnreadable,
)
from services.core.storage.errors import ImageUnreadable, InvalidKey, ObjectNotFound
from services.core.storage.inspection import InspectedImage
from services.core.storage.inspector import ImageInspector
from services.core.storage.media import StoredImage, store_inspected
from services.core.storage.store import ObjectStore
from services.core.work.patience import patiently

IMAGE_SECONDS = Histogram(
    "render_image_seconds",
    "Seconds the backend took for one image.",
    ["backend"],
    buckets=(0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 60),
)

MAXIMUM_IMAGE = 64 * 1024 * 1024
"""Bytes: more than an image of as many pixels as we accept needs."""


@dataclass(frozen=True, slots=True)
class ImageMaker:
    """Makes images with `backend`; their bytes are durable before anybody hears of them.

    A backend is no more to be trusted than a stranger: its bytes are decoded by the `inspector`.
    """

    backend: RenderBackend
    inspector: ImageInspector
    store: ObjectStore
    base_url: str
    clock: Clock
    ids: IdentifierSource
    timeout: float

    async def seeds(self, influencer: Influencer) -> tuple[bytes, ...]:
        """The uploaded pictures whose looks the renders should follow. Raises SeedUnreadable."""
        uploaded = [i for i in influencer.reference_images if i.source == "uploaded"]
        return tuple([await self._seed(image) for image in uploaded])

    async def make(
        self,
        influencer: Influencer,
        view: str,
        seeds: tuple[bytes, ...],
        turn: asyncio.Semaphore,
        *,
        project_id: str | None = None,
        brief: str | None = None,
    ) -> ReferenceImage:
        """Renders when it is its `turn`, and stores, in the influencer's project unless told.

        Raises RenderError.
        """
        async with turn:
            content = await self._render(influencer, view, seeds, brief)
        fail_point("worker.rendered")
        image = await patiently("inspect image", lambda: self._inspected(content))
        place = (influencer.organization_id, project_id or influencer.project_id)
        stored = await patiently("store image", lambda: store_inspected(self.store, *place, image))
        fail_point("worker.stored")
        return self._described(stored, view)

    async def _seed(self, image: ReferenceImage) -> bytes:
        key = image.url.partition("/media/")[2]
        try:
            return await patiently("read seed", lambda: self.store.get(key))
        except (ObjectNotFound, InvalidKey) as fault:
            raise SeedUnreadable(f"the seed {image.asset_id} is not in the store") from fault

    async def _render(
        self, influencer: Influencer, view: str, seeds: tuple[bytes, ...], brief: str | None
    ) -> bytes:
        request = RenderRequest(
            organization_id=influencer.organization_id,
            influencer_id=influencer.identity_id or influencer.influencer_id,
            profile=influencer.profile,
            view=view,
            seed_images=seeds,
            brief=brief,
        )
        started = time.monotonic()
        try:
            async with asyncio.timeout(self.timeout):
                return await self.backend.render(request)
        except TimeoutError as fault:
            raise RenderTimeout(f"no image within {self.timeout:g} s") from fault
        finally:
            IMAGE_SECONDS.labels(self.backend.name).observe(time.monotonic() - started)

    async def _inspected(self, content: bytes) -> InspectedImage:
        if len(content) > MAXIMUM_IMAGE:
            raise RenderBackendError(f"the backend gave more than {MAXIMUM_IMAGE} bytes")
        try:
            return await self.inspector.inspect(content)
        except ImageUnreadable as fault:
            raise RenderBackendError(f"the backend gave no readable image: {fault}") from fault

    def _described(self, stored: StoredImage, view: str) -> ReferenceImage:
        return ReferenceImage(
            asset_id=self.ids.new(Prefix.ASSET),
            url=f"{self.base_url}/media/{stored.key}",
            thumbnail_url=f"{self.base_url}/media/{stored.thumbnail_key}",
            source="rendered",
            view=view,
            width=stored.width,
            height=stored.height,
            added_at=timestamp(self.clock()),
            mime_type=stored.mime_type,
            size_bytes=stored.size_bytes,
            sha256=stored.sha256,
        )
