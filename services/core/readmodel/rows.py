"""Read model rows from the domain's state; one way for the append and for the projector."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from schemas.base import WireModel
from schemas.events import Event, MediaAssetUploaded
from schemas.images import ReferenceImage
from services.core.domain.state import Influencer, Job
from services.core.readmodel.records import LogRecord, storable


class InfluencerRow(NamedTuple):
    organization_id: str
    influencer_id: str
    project_id: str
    status: str
    sequence: int
    created_at: datetime
    state: str


class JobRow(NamedTuple):
    job_id: str
    organization_id: str
    project_id: str
    influencer_id: str
    stream_id: str
    kind: str
    status: str
    sequence: int
    created_at: datetime
    state: str


class EventRow(NamedTuple):
    organization_id: str
    stream_id: str
    sequence: int
    topic: str
    partition: int
    record_offset: int
    event_id: str
    type: str
    version: int
    project_id: str
    occurred_at: datetime
    source: str
    correlation_id: str
    causation_id: str
    traceparent: str
    data: str


class MediaAssetRow(NamedTuple):
    organization_id: str
    asset_id: str
    project_id: str
    influencer_id: str | None
    created_at: datetime
    state: str


class QuarantineRow(NamedTuple):
    topic: str
    partition: int
    record_offset: int
    stream_key: str
    reason: str
    headers: str
    value: bytes | None
    repeated: bool = False


def state_json(state: WireModel) -> str:
    """JSON as it is kept in a `state` column: camelCase, absent for null."""
    return state.model_dump_json(by_alias=True, exclude_none=True)


def influencer_row(influencer: Influencer, sequence: int) -> InfluencerRow:
    return InfluencerRow(
        influencer.organization_id,
        influencer.influencer_id,
        influencer.project_id,
        influencer.status,
        sequence,
        datetime.fromisoformat(influencer.created_at),
        state_json(influencer),
    )


def job_row(job: Job) -> JobRow:
    return JobRow(
        job.job_id,
        job.organization_id,
        job.project_id,
        job.influencer_id,
        job.stream_id,
        job.kind,
        job.status,
        job.sequence,
        datetime.fromisoformat(job.created_at),
        state_json(job),
    )


def event_row(record: LogRecord, event: Event) -> EventRow:
    """The event as it is on the log, `data` byte for byte, and where on the log it is."""
    return EventRow(
        event.organization_id,
        event.subject,
        event.sequence,
        record.stream.topic,
        record.partition,
        record.offset,
        event.id,
        event.type,
        event.version,
        event.project_id,
        datetime.fromisoformat(event.time),
        event.source,
        event.correlation_id,
        event.causation_id,
        event.traceparent,
        (record.value or b"").decode(),
    )


def rendered_asset_row(event: Event, influencer_id: str, image: ReferenceImage) -> MediaAssetRow:
    """A rendered image as a media asset: the fields of one that was uploaded."""
    asset = {
        "assetId": image.asset_id,
        "kind": "image",
        "mimeType": image.mime_type,
        "sizeBytes": image.size_bytes,
        "sha256": image.sha256,
        "width": image.width,
        "height": image.height,
        "url": image.url,
        "thumbnailUrl": image.thumbnail_url,
        "createdAt": image.added_at,
    }
    return MediaAssetRow(
        event.organization_id,
        image.asset_id,
        event.project_id,
        influencer_id,
        datetime.fromisoformat(image.added_at),
        orjson.dumps(asset).decode(),
    )


def uploaded_asset_row(event: Event, asset: MediaAssetUploaded) -> MediaAssetRow:
    return MediaAssetRow(
        event.organization_id,
        asset.asset_id,
        event.project_id,
        None,
        datetime.fromisoformat(asset.created_at),
        state_json(asset),
    )


def quarantine_row(record: LogRecord, reason: str, *, repeated: bool = False) -> QuarantineRow:
    """The record as it was, so that it can be applied later; one that is `repeated` never is."""
    return QuarantineRow(
        record.stream.topic,
        record.partition,
        record.offset,
        record.stream.key,
        storable(reason.encode(errors="backslashreplace"))[:2000],
        headers_json(record),
        record.value,
        repeated,
    )


def headers_json(record: LogRecord) -> str:
    """Pairs of name and value; the value in Latin-1, which spells any bytes."""
    pairs = [
        (name, None if value is None else value.decode("latin-1")) for name, value in record.headers
    ]
    return orjson.dumps(pairs).decode()


def columns(rows: Iterable[Sequence[Any]], width: int) -> list[list[Any]]:
    """Rows turned into columns, as `unnest` takes them; `width` empty columns for no rows."""
    turned = [list(column) for column in zip(*rows, strict=True)]
    return turned or [[] for _ in range(width)]
