"""Histories that tests begin with, and the commands that tests ask."""

from schemas.events import (
    EventData,
    InfluencerCreateRequested,
    InfluencerDeleted,
    InfluencerDrafted,
    InfluencerFailed,
    InfluencerImageRendered,
    InfluencerReady,
    InfluencerRenderRequested,
    InfluencerTrainingStarted,
    JobCanceled,
)
from schemas.images import ReferenceImage
from services.core.domain.commands import (
    CancelJob,
    Command,
    CompleteJob,
    CreateInfluencer,
    DeleteInfluencer,
    DraftInfluencer,
    FailJob,
    LinkReferenceImages,
    RecordImage,
    RenderInfluencer,
    StartTraining,
    UnlinkReferenceImage,
    UpdateInfluencer,
)
from tests.unit.samples import (
    ERROR,
    INFLUENCER_ID,
    JOB_ID,
    KEY_ID,
    ORGANIZATION_ID,
    PROFILE,
    PROJECT_ID,
    SECOND_JOB_ID,
    VIEWS,
    asset_id,
    rendered,
    uploaded,
)

DRAFTED = InfluencerDrafted(profile=PROFILE, reference_images=(uploaded(1),))
REQUESTED = InfluencerCreateRequested(
    job_id=JOB_ID,
    job_kind="influencer_create",
    profile=PROFILE,
    reference_images=(uploaded(1),),
    views=VIEWS,
)
RENDER_REQUESTED = InfluencerRenderRequested(job_id=SECOND_JOB_ID, views=VIEWS)
DELETED = InfluencerDeleted(reason="no longer wanted")


def started(job_id: str = JOB_ID, attempt: int = 1) -> EventData:
    return InfluencerTrainingStarted(job_id=job_id, backend="dicebear", attempt=attempt)


def image(index: int, picture: ReferenceImage, job_id: str = JOB_ID) -> EventData:
    return InfluencerImageRendered(
        job_id=job_id, index=index, total=len(VIEWS), view=VIEWS[index], image=picture
    )


def completed(*numbers: int, job_id: str = JOB_ID) -> EventData:
    return InfluencerReady(job_id=job_id, asset_ids=tuple(asset_id(n) for n in numbers))


def failed(job_id: str = JOB_ID) -> EventData:
    return InfluencerFailed(job_id=job_id, error=ERROR)


def canceled(job_id: str = JOB_ID) -> EventData:
    return JobCanceled(job_id=job_id, requested_by=KEY_ID)


HALF_RENDERED: tuple[EventData, ...] = (REQUESTED, started(), image(0, rendered(10)))
FINALIZING: tuple[EventData, ...] = (*HALF_RENDERED, image(1, rendered(11, "smiling")))
READY: tuple[EventData, ...] = (*FINALIZING, completed(10, 11))
RENDERING_AGAIN: tuple[EventData, ...] = (*READY, RENDER_REQUESTED, started(SECOND_JOB_ID))
GONE: tuple[EventData, ...] = (*READY, DELETED)

DRAFT = DraftInfluencer(ORGANIZATION_ID, INFLUENCER_ID, PROJECT_ID, PROFILE, (uploaded(1),))
CREATE = CreateInfluencer(
    ORGANIZATION_ID, INFLUENCER_ID, PROJECT_ID, JOB_ID, PROFILE, (uploaded(1),), views=VIEWS
)
RENDER = RenderInfluencer(ORGANIZATION_ID, INFLUENCER_ID, SECOND_JOB_ID, VIEWS)
DELETE = DeleteInfluencer(ORGANIZATION_ID, INFLUENCER_ID, KEY_ID, "no longer wanted")


def start(job_id: str = JOB_ID) -> Command:
    return StartTraining(ORGANIZATION_ID, INFLUENCER_ID, job_id, "dicebear")


def record(index: int, picture: ReferenceImage, job_id: str = JOB_ID) -> Command:
    return RecordImage(ORGANIZATION_ID, INFLUENCER_ID, job_id, index, picture)


def complete(job_id: str = JOB_ID) -> Command:
    return CompleteJob(ORGANIZATION_ID, INFLUENCER_ID, job_id)


def fail(job_id: str = JOB_ID) -> Command:
    return FailJob(ORGANIZATION_ID, INFLUENCER_ID, job_id, ERROR)


def cancel(job_id: str = JOB_ID) -> Command:
    return CancelJob(ORGANIZATION_ID, INFLUENCER_ID, job_id, KEY_ID)


def update(expected_sequence: int | None = None, **changes: object) -> UpdateInfluencer:
    return UpdateInfluencer(
        ORGANIZATION_ID,
        INFLUENCER_ID,
        changes,  # type: ignore[arg-type]  # JSON, as the tests write it
        expected_sequence,
    )


def link(*images: ReferenceImage) -> Command:
    return LinkReferenceImages(ORGANIZATION_ID, INFLUENCER_ID, images)


def unlink(number: int) -> Command:
    return UnlinkReferenceImage(ORGANIZATION_ID, INFLUENCER_ID, asset_id(number))
