"""Media assets: each is a stream of its own, with one event so far."""

from dataclasses import dataclass

from schemas.base import Timestamp, WireModel
from schemas.events import Event, EventData, MediaAssetUploaded
from services.core.domain.errors import CommandRefused, ImpossibleEvent, SequenceGap


class MediaAssetStream(WireModel):
    """`sequence` is that of the last event folded in."""

    sequence: int = 0
    project_id: str | None = None
    updated_at: Timestamp | None = None
    asset: MediaAssetUploaded | None = None


@dataclass(frozen=True, slots=True)
class UploadMediaAsset:
    organization_id: str
    project_id: str
    asset: MediaAssetUploaded

    @property
    def stream_id(self) -> str:
        return self.asset.asset_id


class MediaAssetAlreadyExists(CommandRefused):
    def __init__(self, asset_id: str) -> None:
        super().__init__(f"media asset {asset_id} already exists")
        self.asset_id = asset_id


def decide_media(state: MediaAssetStream, command: UploadMediaAsset) -> tuple[EventData, ...]:
    """Raises MediaAssetAlreadyExists."""
    if state.sequence > 0:
        raise MediaAssetAlreadyExists(command.stream_id)
    return (command.asset,)


def evolve_media(state: MediaAssetStream, event: Event) -> MediaAssetStream:
    """Raises SequenceGap, ImpossibleEvent."""
    if event.sequence != state.sequence + 1:
        raise SequenceGap(event.type, state.sequence + 1, event.sequence)
    if not isinstance(event.data, MediaAssetUploaded) or event.data.asset_id != event.subject:
        raise ImpossibleEvent(event.type, "not an event of this media asset")
    return MediaAssetStream(
        sequence=event.sequence,
        project_id=event.project_id,
        updated_at=event.time,
        asset=event.data,
    )
