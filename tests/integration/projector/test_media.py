"""Uploads on the log become rows: beside the append that wrote them, and without it."""

from schemas.events import Event, MediaAssetUploaded
from schemas.ids import Prefix, UlidSource
from services.core.domain.media import UploadMediaAsset
from services.core.eventlog.group_commit import GroupCommit
from services.core.eventlog.requests import Appended
from services.core.postgres import Pool, acquire
from services.core.readmodel.store import COPIED_FROM
from services.projector.projector import Projector
from tests.bench.histories import interleaved
from tests.integration.eventlog.conftest import Tenant, requested, started_group_commit
from tests.integration.projector.log import Log
from tests.integration.projector.models import ReadModels
from tests.unit.samples import ORGANIZATION_ID, PROJECT_ID, TIME
from tests.waiting import eventually

IDS = UlidSource()


async def test_assets_come_back_from_the_log_alone(
    projector: Projector, log: Log, models: ReadModels, pool: Pool
) -> None:
    written = await uploads(pool, 30)
    rows = await assets(models)
    async with acquire(pool) as connection:
        await connection.execute("truncate read_model.media_assets")

    await log.write(written)

    await models.has_rows("media_assets", 30)
    assert await assets(models) == rows


async def test_uploads_that_are_on_the_log_again_change_nothing(
    projector: Projector, log: Log, models: ReadModels, pool: Pool
) -> None:
    written = await uploads(pool, 10)
    rows = await assets(models)
    await log.write([*written, *written])

    async def moved() -> bool:
        found = await models.fetch(
            "select sum(next_offset) as read from read_model.projection_offsets where topic = $1",
            log.names.media,
        )
        return (found[0]["read"] or 0) >= 20

    await eventually("the uploads are read", moved)
    assert await assets(models) == rows
    assert [row["repeated"] for row in await models.quarantine()] == [True] * 10


async def test_uploads_beside_a_large_batch_of_influencers(
    projector: Projector, log: Log, models: ReadModels, pool: Pool
) -> None:
    written = await uploads(pool, 5)
    events = list(interleaved(60, at_once=10))
    assert len(events) > COPIED_FROM
    await log.write([*events, *written])

    await models.has_rows("events", len(events) + len(written))
    await models.has_rows("media_assets", 60 * 4 + 5)
    await models.assert_equal_a_fold_of(events, written)


async def uploads(pool: Pool, count: int) -> list[Event]:
    """Appended as the api does."""
    tenant = Tenant(ORGANIZATION_ID, PROJECT_ID)
    group_commit = await started_group_commit(pool)
    events = [await _upload(group_commit, tenant, number) for number in range(count)]
    await group_commit.stop()
    return events


async def _upload(group_commit: GroupCommit, tenant: Tenant, number: int) -> Event:
    asset = MediaAssetUploaded(
        asset_id=IDS.new(Prefix.ASSET),
        kind="audio",
        mime_type="audio/mpeg",
        size_bytes=number,
        sha256=f"{number:064x}",
        url=f"http://x/media/{number}.mp3",
        created_at=TIME,
    )
    command = UploadMediaAsset(tenant.organization_id, tenant.project_id, asset)
    outcome = await group_commit.append(requested(command, is_fresh=True))
    assert isinstance(outcome, Appended)
    return outcome.events[0]


async def assets(models: ReadModels) -> list[dict[str, object]]:
    return await models.fetch("select * from read_model.media_assets order by asset_id")
