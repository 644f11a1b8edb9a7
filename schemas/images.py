"""A reference image as events and records name it."""

from typing import Literal

from schemas.base import Timestamp, WireModel
from schemas.ids import AssetId


class ReferenceImage(WireModel):
    """A rendered or uploaded image; `url` and `thumbnailUrl` are permanent and unsigned."""

    asset_id: AssetId
    url: str
    thumbnail_url: str
    source: Literal["rendered", "uploaded"]
    view: str | None = None
    width: int
    height: int
    added_at: Timestamp
    mime_type: str
    size_bytes: int
    sha256: str
