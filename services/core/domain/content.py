"""Content: each picture that is wanted of an influencer is a stream of its own, and one job."""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from schemas.base import Timestamp, WireModel
from schemas.events import (
    ContentFailed,
    ContentGenerated,
    ContentRequested,
    Event,
    EventData,
    JobCanceled,
)
from schemas.images import ReferenceImage
from schemas.jobs import JobError
from services.core.domain.errors import CommandRefused, ImpossibleEvent, JobEnded, SequenceGap
from services.core.domain.state import Job

CONTENT_VIEW = "content"


class ContentStream(WireModel):
    """`sequence` is that of the last event folded in."""

    sequence: int = 0
    job: Job | None = None

    @property
    def project_id(self) -> str | None:
        return self.job.project_id if self.job else None

    @property
    def updated_at(self) -> Timestamp | None:
        return (self.job.finished_at or self.job.created_at) if self.job else None


@dataclass(frozen=True, slots=True)
class ContentCommand:
    organization_id: str
    content_id: str
    job_id: str

    @property
    def stream_id(self) -> str:
        return self.content_id


@dataclass(frozen=True, slots=True)
class RequestContent(ContentCommand):
    project_id: str
    influencer_id: str
    brief: str
    influencer_sequence: int | None = None


@dataclass(frozen=True, slots=True)
class CompleteContent(ContentCommand):
    image: ReferenceImage
    started_at: Timestamp | None = None


@dataclass(frozen=True, slots=True)
class FailContent(ContentCommand):
    error: JobError


@dataclass(frozen=True, slots=True)
class CancelContent(ContentCommand):
    requested_by: str


class ContentAlreadyExists(CommandRefused):
    def __init__(self, content_id: str) -> None:
        super().__init__(f"content {content_id} already exists")
        self.content_id = content_id


def decide_content(state: ContentStream, command: ContentCommand) -> tuple[EventData, ...]:
    """Raises ContentAlreadyExists, JobEnded."""
    if isinstance(command, RequestContent):
        if state.sequence > 0:
            raise ContentAlreadyExists(command.content_id)
        return (
            ContentRequested(
                job_id=command.job_id,
                influencer_id=command.influencer_id,
                brief=command.brief,
                influencer_sequence=command.influencer_sequence,
            ),
        )
    job = _require_running(state, command.job_id)
    return (_END[type(command)](job, command),)


def _require_running(state: ContentStream, job_id: str) -> Job:
    if state.job is None or state.job.job_id != job_id:
        raise JobEnded(job_id, None)
    if not state.job.is_running:
        raise JobEnded(job_id, state.job.status)
    return state.job


def _completed(job: Job, command: CompleteContent) -> EventData:
    return ContentGenerated(
        job_id=job.job_id,
        influencer_id=job.influencer_id,
        image=command.image,
        started_at=command.started_at,
    )


def _failed(job: Job, command: FailContent) -> EventData:
    return ContentFailed(job_id=job.job_id, influencer_id=job.influencer_id, error=command.error)


def _canceled(job: Job, command: CancelContent) -> EventData:
    return JobCanceled(job_id=job.job_id, requested_by=command.requested_by)


_END: MappingProxyType[type[ContentCommand], Callable[[Job, Any], EventData]] = MappingProxyType(
    {CompleteContent: _completed, FailContent: _failed, CancelContent: _canceled}
)


def evolve_content(state: ContentStream, event: Event) -> ContentStream:
    """Raises SequenceGap, ImpossibleEvent."""
    if event.sequence != state.sequence + 1:
        raise SequenceGap(event.type, state.sequence + 1, event.sequence)
    if isinstance(event.data, ContentRequested):
        job = _requested(state, event, event.data)
    else:
        job = _ended(state, event)
    return ContentStream(sequence=event.sequence, job=job)


def _requested(state: ContentStream, event: Event, data: ContentRequested) -> Job:
    if state.job is not None:
        raise ImpossibleEvent(event.type, "the content exists already")
    return Job(
        organization_id=event.organization_id,
        project_id=event.project_id,
        influencer_id=data.influencer_id,
        content_id=event.subject,
        brief=data.brief,
        job_id=data.job_id,
        kind="content_generate",
        views=(CONTENT_VIEW,),
        created_at=event.time,
        sequence=event.sequence,
    )


def _ended(state: ContentStream, event: Event) -> Job:
    job, data = state.job, event.data
    if not isinstance(data, ContentGenerated | ContentFailed | JobCanceled):
        raise ImpossibleEvent(event.type, "not an event of content")
    if job is None or job.content_id != event.subject:
        raise ImpossibleEvent(event.type, "there is no such content")
    if job.job_id != data.job_id or not job.is_running:
        raise ImpossibleEvent(event.type, f"job {data.job_id} is not running")
    changes: dict[str, Any] = {
        "stage": "done",
        "finished_at": event.time,
        "sequence": event.sequence,
    }
    if isinstance(data, ContentGenerated):
        images = ((0, data.image),)
        changes |= {"status": "completed", "images": images, "started_at": data.started_at}
    elif isinstance(data, ContentFailed):
        changes |= {"status": "failed", "error": data.error}
    else:
        changes |= {"status": "canceled"}
    return job.model_copy(update=changes)
