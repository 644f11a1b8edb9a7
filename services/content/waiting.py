"""What a picture waits for: its influencer, as the events tell it. Pure.

The requests and the influencers are on different topics, so neither knows how far the other has
come. A request says how far its influencer was for whoever asked; nothing is judged before that.
"""

from typing import Literal

from schemas.base import WireModel
from schemas.events import ContentRequested, Event, InfluencerReady, InfluencerTrainingStarted
from schemas.jobs import JobError
from services.content.task import ContentTask
from services.core.domain.evolve import evolve
from services.core.domain.state import Influencer, InfluencerStream


class KnownInfluencer(WireModel):
    """`stream` is the fold of its events.

    `person` is the influencer as its reference images show it: as it was when their render began.
    A later change of the profile shows in the pictures once the images are rendered anew.
    `sitting` is the same of a render that is under way.
    """

    stream: InfluencerStream = InfluencerStream()
    sitting: Influencer | None = None
    person: Influencer | None = None

    @property
    def sequence(self) -> int:
        return self.stream.sequence


class Request(WireModel):
    """A picture that is wanted, and since which event."""

    organization_id: str
    content_id: str
    job_id: str
    project_id: str
    influencer_id: str
    influencer_sequence: int
    brief: str
    event_id: str
    time: str
    traceparent: str


Verdict = Literal["wait", "make"] | JobError

DELETED = JobError(
    code="INFLUENCER_DELETED", message="The influencer was deleted.", retryable=False
)


def requested(event: Event, data: ContentRequested) -> Request:
    return Request(
        organization_id=event.organization_id,
        content_id=event.subject,
        job_id=data.job_id,
        project_id=event.project_id,
        influencer_id=data.influencer_id,
        influencer_sequence=data.influencer_sequence or 1,
        brief=data.brief,
        event_id=event.id,
        time=event.time,
        traceparent=event.traceparent,
    )


def follow(known: KnownInfluencer, event: Event) -> KnownInfluencer:
    """`known` after `event`; an event that it has seen changes nothing.

    Events that aren't there were skipped by an operator, or are of a type that is not known here:
    the subscriber library lets no others be missing. Raises ImpossibleEvent.
    """
    if event.sequence <= known.sequence:
        return known
    stream = evolve(known.stream.model_copy(update={"sequence": event.sequence - 1}), event)
    sitting, person = known.sitting, known.person
    if isinstance(event.data, InfluencerTrainingStarted):
        sitting = _looks(stream)
    elif isinstance(event.data, InfluencerReady):
        sitting, person = None, sitting or _looks(stream)
    return KnownInfluencer(stream=stream, sitting=sitting, person=person)


def verdict(known: KnownInfluencer, request: Request) -> Verdict:
    influencer = known.stream.influencer
    if influencer is None or known.sequence < request.influencer_sequence:
        return "wait"
    match influencer.status:
        case "deleted":
            return DELETED
        case "failed":
            return failed(influencer)
        case "ready":
            return "make"
    return "wait"


def failed(influencer: Influencer) -> JobError:
    reason = f": {influencer.error_message}" if influencer.error_message else "."
    return JobError(
        code="INFLUENCER_FAILED",
        message=f"The influencer could not be made{reason}",
        retryable=False,
    )


def released(request: Request, error: JobError | None, causation_id: str, at: str) -> ContentTask:
    """The task of a request that waits no longer, since the event `causation_id` of `at`."""
    return ContentTask(
        job_id=request.job_id,
        organization_id=request.organization_id,
        content_id=request.content_id,
        project_id=request.project_id,
        influencer_id=request.influencer_id,
        brief=request.brief,
        causation_id=causation_id,
        traceparent=request.traceparent,
        released_at=at,
        error=error,
    )


def _looks(stream: InfluencerStream) -> Influencer | None:
    if stream.influencer is None:
        return None
    seeds = tuple(i for i in stream.influencer.reference_images if i.source == "uploaded")
    return stream.influencer.model_copy(update={"reference_images": seeds})
