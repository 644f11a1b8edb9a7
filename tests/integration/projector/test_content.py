"""Content on the log becomes a job, an asset and events, like what an influencer's jobs make."""

from schemas.events import Event, EventData
from services.core.postgres import Pool, acquire
from services.core.readmodel.rows import job_row
from services.core.readmodel.store import find_states
from services.projector.projector import Projector
from tests.integration.projector.log import Log
from tests.integration.projector.models import ReadModels, canonical
from tests.unit.domain.specification import envelope
from tests.unit.domain.test_content import CONTENT_ID, GENERATED, REQUESTED, given
from tests.unit.samples import INFLUENCER_ID, ORGANIZATION_ID


async def test_content_comes_to_be_a_job_with_a_picture(
    projector: Projector, log: Log, models: ReadModels, pool: Pool
) -> None:
    await log.write(contents(REQUESTED))
    await models.has_rows("events", 1)
    async with acquire(pool) as connection:
        states = await find_states(connection, [(ORGANIZATION_ID, CONTENT_ID)])
    assert states == {f"{ORGANIZATION_ID}/{CONTENT_ID}": given(REQUESTED)}
    await log.write(contents(REQUESTED, GENERATED)[1:])
    await models.has_rows("events", 2)

    [row] = await models.fetch("select * from read_model.jobs")
    expected = job_row(given(REQUESTED, GENERATED).job)  # type: ignore[arg-type]
    assert row["stream_id"] == CONTENT_ID
    assert canonical(row["state"]) == canonical(expected.state)
    [asset] = await models.fetch("select * from read_model.media_assets")
    assert (asset["asset_id"], asset["influencer_id"]) == (
        GENERATED.image.asset_id,
        INFLUENCER_ID,
    )
    [first, second] = await models.fetch("select * from read_model.events order by sequence")
    assert (first["topic"], first["stream_id"]) == (log.names.events[2], CONTENT_ID)
    assert second["record_offset"] > first["record_offset"]
    assert not await models.quarantine()


def contents(*history: EventData) -> list[Event]:
    return [envelope(data, sequence, CONTENT_ID) for sequence, data in enumerate(history, 1)]
