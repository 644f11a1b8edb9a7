"""`decide(state, command) -> events`: every rule about what may happen is here."""

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

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
    InfluencerUpdated,
    JobCanceled,
    ReferenceImagesLinked,
    ReferenceImageUnlinked,
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
from services.core.domain.errors import (
    ImageNotExpected,
    ImagesMissing,
    InfluencerAlreadyExists,
    InfluencerNotFound,
    JobCancelUnavailable,
    JobEnded,
    JobStillRunning,
    NameRequired,
    ReferenceImageNotFound,
    SequenceMismatch,
)
from services.core.domain.profile_changes import differing
from services.core.domain.state import Influencer, InfluencerStream, Job

Events = tuple[EventData, ...]


def decide(state: InfluencerStream, command: Command) -> Events:
    """The events that `command` leads to; none when it changes nothing.

    Raises a CommandRefused when the state does not allow it.
    """
    return _DECISIONS[type(command)](state, command)


def _draft(state: InfluencerStream, command: DraftInfluencer) -> Events:
    _require_unused(state, command)
    images = _distinct(command.reference_images)
    return (InfluencerDrafted(profile=command.profile, reference_images=images),)


def _create(state: InfluencerStream, command: CreateInfluencer) -> Events:
    _require_unused(state, command)
    return (
        InfluencerCreateRequested(
            job_id=command.job_id,
            job_kind="influencer_clone" if command.source_influencer_id else "influencer_create",
            profile=command.profile,
            reference_images=_distinct(command.reference_images),
            source_influencer_id=command.source_influencer_id,
            identity_id=command.identity_id,
            views=command.views,
        ),
    )


def _render(state: InfluencerStream, command: RenderInfluencer) -> Events:
    _require_influencer(state, command)
    if state.job and state.job.is_running:
        raise JobStillRunning(state.job.job_id)
    return (InfluencerRenderRequested(job_id=command.job_id, views=command.views),)


def _start_training(state: InfluencerStream, command: StartTraining) -> Events:
    job = _require_running_job(state, command.job_id)
    return (
        InfluencerTrainingStarted(
            job_id=job.job_id, backend=command.backend, attempt=job.attempt + 1
        ),
    )


def _record_image(state: InfluencerStream, command: RecordImage) -> Events:
    job = _require_running_job(state, command.job_id)
    if command.index not in job.missing_indexes:
        raise ImageNotExpected(job.job_id, command.index)
    return (
        InfluencerImageRendered(
            job_id=job.job_id,
            index=command.index,
            total=len(job.views),
            view=job.views[command.index],
            image=command.image,
        ),
    )


def _complete(state: InfluencerStream, command: CompleteJob) -> Events:
    job = _require_running_job(state, command.job_id)
    if job.missing_indexes:
        raise ImagesMissing(job.job_id, job.missing_indexes)
    asset_ids = tuple(image.asset_id for image in job.image_set)
    return (InfluencerReady(job_id=job.job_id, asset_ids=asset_ids),)


def _fail(state: InfluencerStream, command: FailJob) -> Events:
    job = _require_running_job(state, command.job_id)
    return (InfluencerFailed(job_id=job.job_id, error=command.error),)


def _cancel(state: InfluencerStream, command: CancelJob) -> Events:
    job = _require_running_job(state, command.job_id)
    if job.stage == "finalizing":
        raise JobCancelUnavailable(job.job_id, job.stage)
    return (JobCanceled(job_id=job.job_id, requested_by=command.requested_by),)


def _update(state: InfluencerStream, command: UpdateInfluencer) -> Events:
    influencer = _require_influencer(state, command)
    _require_sequence(state, command.expected_sequence)
    if command.changes.get("name", influencer.profile.name) is None:
        raise NameRequired(command.influencer_id)
    changes = differing(influencer.profile, command.changes)
    return (InfluencerUpdated(changes=changes),) if changes else ()


def _link(state: InfluencerStream, command: LinkReferenceImages) -> Events:
    influencer = _require_influencer(state, command)
    known = {image.asset_id for image in influencer.reference_images}
    images = tuple(image for image in _distinct(command.images) if image.asset_id not in known)
    return (ReferenceImagesLinked(images=images),) if images else ()


def _distinct(images: tuple[ReferenceImage, ...]) -> tuple[ReferenceImage, ...]:
    return tuple({image.asset_id: image for image in images}.values())


def _unlink(state: InfluencerStream, command: UnlinkReferenceImage) -> Events:
    influencer = _require_influencer(state, command)
    if command.asset_id not in {image.asset_id for image in influencer.reference_images}:
        raise ReferenceImageNotFound(command.asset_id)
    return (ReferenceImageUnlinked(asset_id=command.asset_id),)


def _delete(state: InfluencerStream, command: DeleteInfluencer) -> Events:
    _require_influencer(state, command)
    _require_sequence(state, command.expected_sequence)
    deleted = InfluencerDeleted(reason=command.reason)
    if state.job and state.job.is_running:
        return JobCanceled(job_id=state.job.job_id, requested_by=command.requested_by), deleted
    return (deleted,)


def _require_unused(state: InfluencerStream, command: Command) -> None:
    if state.sequence > 0:
        raise InfluencerAlreadyExists(command.influencer_id)


def _require_influencer(state: InfluencerStream, command: Command) -> Influencer:
    if state.influencer is None or state.influencer.status == "deleted":
        raise InfluencerNotFound(command.influencer_id)
    return state.influencer


def _require_running_job(state: InfluencerStream, job_id: str) -> Job:
    if state.job is None or state.job.job_id != job_id:
        raise JobEnded(job_id, None)
    if not state.job.is_running:
        raise JobEnded(job_id, state.job.status)
    return state.job


def _require_sequence(state: InfluencerStream, expected: int | None) -> None:
    if expected is not None and expected != state.sequence:
        raise SequenceMismatch(expected, state.sequence)


_DECISIONS: MappingProxyType[type[Command], Callable[[InfluencerStream, Any], Events]] = (
    MappingProxyType(
        {
            DraftInfluencer: _draft,
            CreateInfluencer: _create,
            RenderInfluencer: _render,
            StartTraining: _start_training,
            RecordImage: _record_image,
            CompleteJob: _complete,
            FailJob: _fail,
            CancelJob: _cancel,
            UpdateInfluencer: _update,
            LinkReferenceImages: _link,
            UnlinkReferenceImage: _unlink,
            DeleteInfluencer: _delete,
        }
    )
)
