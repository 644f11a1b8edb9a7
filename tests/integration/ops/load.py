"""A system at work: commands of the api and of workers, on many streams at once."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from schemas.events import MediaAssetUploaded
from schemas.ids import Prefix
from services.core.domain.aggregates import AnyCommand
from services.core.domain.commands import (
    CreateInfluencer,
    DeleteInfluencer,
    RenderInfluencer,
    UpdateInfluencer,
)
from services.core.domain.content import CancelContent, CompleteContent, RequestContent
from services.core.domain.media import UploadMediaAsset
from services.core.eventlog.group_commit import GroupCommit
from services.core.postgres import Pool
from tests.integration.eventlog.conftest import IDS, Tenant, requested, started_group_commit
from tests.integration.ops.history import KEY_ID, canceling, completing, failing, images_of
from tests.unit.samples import TIME

BY_API = True
BY_WORKER = False


@dataclass
class Load:
    """`lives` counts the streams that have been through; `pause` is in seconds, after a command."""

    api: GroupCommit
    worker: GroupCommit
    tenant: Tenant
    pause: float = 0.0
    lives: int = 0
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        while not self.stopped.is_set():
            for command, author in life(self.tenant, self.lives):
                group_commit = self.api if author is BY_API else self.worker
                await group_commit.append(requested(command))
                await asyncio.sleep(self.pause)
            self.lives += 1


@asynccontextmanager
async def loading(
    pool: Pool, tenant: Tenant, at_once: int = 1, pause: float = 0.0
) -> AsyncIterator[Load]:
    """Goes on until the block ends."""
    api = await started_group_commit(pool)
    worker = await started_group_commit(pool, write_read_models=False)
    load = Load(api, worker, tenant, pause)
    tasks = [asyncio.create_task(load.run()) for _ in range(at_once)]
    try:
        yield load
    finally:
        load.stopped.set()
        await asyncio.gather(*tasks)
        await api.stop()
        await worker.stop()


def life(tenant: Tenant, number: int) -> Iterator[tuple[AnyCommand, bool]]:
    create = tenant.create()
    stream = create.organization_id, create.influencer_id
    yield create, BY_API
    for command in (completing, completing, canceling, failing)[number % 4](create):
        yield command, BY_API if isinstance(command, UpdateInfluencer) else BY_WORKER
    if number % 4 < 2:
        again = RenderInfluencer(*stream, IDS.new(Prefix.JOB))
        yield again, BY_API
        yield from ((command, BY_WORKER) for command in _rendering_again(create, again))
    if number % 3 == 0:
        yield DeleteInfluencer(*stream, KEY_ID), BY_API
    for made in (*_content(tenant, create.influencer_id, number), _upload(tenant)):
        yield made, BY_WORKER if isinstance(made, CompleteContent) else BY_API


def _rendering_again(create: CreateInfluencer, again: RenderInfluencer) -> Iterator[AnyCommand]:
    for command in completing(replace(create, job_id=again.job_id)):
        if not isinstance(command, UpdateInfluencer):
            yield command


def _content(tenant: Tenant, influencer_id: str, number: int) -> Iterator[AnyCommand]:
    job = tenant.create()
    content = tenant.organization_id, IDS.new(Prefix.CONTENT), job.job_id
    yield RequestContent(*content, tenant.project_id, influencer_id, "On a beach.")
    if number % 2:
        yield CompleteContent(*content, images_of(job)[0])
    else:
        yield CancelContent(*content, KEY_ID)


def _upload(tenant: Tenant) -> UploadMediaAsset:
    asset = MediaAssetUploaded(
        asset_id=IDS.new(Prefix.ASSET),
        kind="image",
        mime_type="image/png",
        size_bytes=1234,
        sha256="0" * 64,
        url="http://127.0.0.1/media/x.png",
        created_at=TIME,
    )
    return UploadMediaAsset(tenant.organization_id, tenant.project_id, asset)
