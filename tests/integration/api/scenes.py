"""What tests of the api start from: an influencer that is ready, media, a history."""

from dataclasses import dataclass
from typing import Any

import orjson

from schemas.events import INFLUENCER_TOPIC, Event, decode, value_of
from schemas.ids import Prefix, UlidSource
from services.core.domain.commands import CompleteJob, RecordImage, StartTraining
from services.core.domain.state import DEFAULT_VIEWS
from services.core.postgres import Pool
from services.core.readmodel.records import LogRecord, StreamId
from services.core.readmodel.rows import EventRow, event_row
from tests.integration.api.calling import Answer, Caller
from tests.integration.api.serving import Service
from tests.unit.samples import rendered

IDS = UlidSource()
KEEP_EVENT = f"""
insert into read_model.events ({", ".join(EventRow._fields)})
values ({", ".join(f"${n}" for n, _ in enumerate(EventRow._fields, 1))})
on conflict do nothing
"""
IMAGE = {
    "kind": "image",
    "mimeType": "image/png",
    "sizeBytes": 9,
    "sha256": "0" * 64,
    "width": 64,
    "height": 32,
    "url": "/media/a/b/c.png",
    "thumbnailUrl": "/media/a/b/d.webp",
    "createdAt": "2026-01-01T00:00:00.000Z",
}
AUDIO = {
    "kind": "audio",
    "mimeType": "audio/mpeg",
    "sizeBytes": 9,
    "sha256": "0" * 64,
    "url": "/media/a/b/c.mp3",
    "createdAt": "2026-01-01T00:00:00.000Z",
}


@dataclass(frozen=True)
class Scene:
    """An influencer of `caller`, driven through the domain as the renderer would."""

    caller: Caller
    service: Service
    influencer_id: str
    job_id: str

    @classmethod
    async def started(cls, caller: Caller, service: Service, **fields: Any) -> "Scene":
        created = await caller.create(**fields)
        return cls(caller, service, created["influencerId"], created["jobId"])

    @classmethod
    async def ready(cls, caller: Caller, service: Service, **fields: Any) -> "Scene":
        scene = await cls.started(caller, service, **fields)
        await scene.render(scene.job_id)
        return scene

    async def render(self, job_id: str, first_asset: int = 0) -> None:
        stream = (self.caller.organization_id, self.influencer_id, job_id)
        images = [
            RecordImage(*stream, index, rendered(first_asset + index, view))
            for index, view in enumerate(DEFAULT_VIEWS)
        ]
        start = StartTraining(*stream, backend="drawing")
        await self.service.append(start, *images, CompleteJob(*stream))

    @property
    def path(self) -> str:
        return f"/v1/influencers/{self.influencer_id}"

    @property
    def images_path(self) -> str:
        return f"{self.path}/reference-images"

    async def record(self) -> Any:
        answer = await self.caller.get(self.path)
        assert answer.status == 200, answer
        return answer.json

    async def etag(self) -> str:
        return (await self.caller.get(self.path)).headers["ETag"]

    async def link(self, *asset_ids: str) -> Answer:
        return await self.caller.post(self.images_path, {"assetIds": list(asset_ids)})

    async def events(self) -> list[Event]:
        return await events_of(self.caller, self.service, self.influencer_id)


async def add_asset(caller: Caller, service: Service, state: dict[str, Any] = IMAGE) -> str:
    """The id of a media asset of the caller's project."""
    asset_id = IDS.new(Prefix.ASSET)
    await service.pool.execute(
        "insert into read_model.media_assets"
        " (organization_id, asset_id, project_id, created_at, state)"
        " values ($1, $2, $3, now(), $4)",
        caller.organization_id,
        asset_id,
        caller.project_id,
        orjson.dumps({**state, "assetId": asset_id}).decode(),
    )
    return asset_id


async def events_of(caller: Caller, service: Service, influencer_id: str) -> list[Event]:
    """What the relay would write to Kafka, decoded as every subscriber does."""
    rows = await service.pool.fetch(
        "select headers, value from event_log.outbox where key = $1 order by outbox_id",
        f"{caller.organization_id}/{influencer_id}",
    )
    return [
        decode(
            [(name, value.encode()) for name, value in orjson.loads(row["headers"]).items()],
            row["value"],
        )
        for row in rows
    ]


async def keep_event(pool: Pool, event: Event) -> None:
    """Its row among the events, as the projector writes it."""
    stream = StreamId(INFLUENCER_TOPIC, event.key)
    record = LogRecord(stream, 0, event.sequence, (), value_of(event), event)
    await pool.execute(KEEP_EVENT, *event_row(record, event))


async def project_history(scene: Scene) -> list[Event]:
    """Fills the history as the projector does; the events."""
    events = await scene.events()
    for event in events:
        await keep_event(scene.service.pool, event)
    return events


def reference_image_ids(record: Any) -> list[str]:
    return [image["assetId"] for image in record["referenceImages"]]
