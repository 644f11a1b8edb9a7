"""REST answers, as `rest-api.md` has them; the api's OpenAPI document is made from these."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from schemas.base import Timestamp, WireModel, without_defaults
from schemas.ids import AssetId, EventId, InfluencerId, JobId, PlainUuid, UploadId
from schemas.jobs import JobErrorCode, JobKind, JobStage, JobStatus
from schemas.profile import Gender
from schemas.uploads import MediaKind

Moment = Annotated[Timestamp, Field(json_schema_extra={"format": "date-time"})]
Url = Annotated[str, Field(json_schema_extra={"format": "uri-reference"})]
JobLocation = Annotated[str, Field(pattern="^/v1/jobs/job_[0-7][0-9A-HJKMNP-TV-Z]{25}$")]
Sequence = Annotated[int, Field(ge=1, description="Position of the stream's last event in it.")]
NextCursor = Annotated[
    str | None, Field(description="Opaque; `cursor` of the next page, null on the last one.")
]
Tier = Literal["standard", "pilot", "partner", "internal"]


class ImageRecord(WireModel):
    """An image of an influencer; its URLs are permanent, their signatures made anew on a read."""

    asset_id: AssetId
    url: Url
    thumbnail_url: Url
    source: Literal["rendered", "uploaded"]
    view: str | None
    width: int = Field(ge=1)
    height: int = Field(ge=1)
    added_at: Moment


class PersonalityRecord(WireModel):
    """Only what was given."""

    model_config = ConfigDict(json_schema_extra=without_defaults)

    traits: list[str] = Field([])
    tone: str = ""
    humor: str = ""
    formality: str = ""
    values: list[str] = Field([])
    interests: list[str] = Field([])
    speaking_style: str = ""
    catchphrases: list[str] = Field([])


class InfluencerRecord(WireModel):
    """An influencer."""

    influencer_id: InfluencerId
    project_id: PlainUuid
    name: str
    gender: Gender | None
    age_range: str | None
    ethnicity: str | None
    body_type: str | None
    hair_color: str | None
    hair_style: str | None
    style: str | None
    vibe: str | None
    voice_description: str | None
    personality: PersonalityRecord | None
    reference_images: list[ImageRecord]
    thumbnail_url: Url | None
    status: Literal["draft", "pending", "training", "ready", "failed"]
    error_message: str | None
    job_id: JobId | None = Field(description="The last job of the influencer, if it had one.")
    sequence: Sequence
    created_at: Moment
    updated_at: Moment


class InfluencerItem(WireModel):
    """An influencer as a list has it."""

    influencer_id: InfluencerId
    name: str
    gender: Gender | None
    age_range: str | None
    status: Literal["draft", "pending", "training", "ready", "failed"]
    thumbnail_url: Url | None
    created_at: Moment


class InfluencerPage(WireModel):
    """Influencers of a project, newest first."""

    items: list[InfluencerItem]
    next_cursor: NextCursor


class DeletedInfluencer(WireModel):
    """What is left of an influencer that was deleted just now."""

    influencer_id: InfluencerId
    status: Literal["deleted"]
    deleted_at: Moment


class ReferenceImages(WireModel):
    """All reference images of an influencer."""

    influencer_id: InfluencerId
    reference_images: list[ImageRecord]


class EventRecord(WireModel):
    """Something that happened; what `data` holds depends on `type`."""

    event_id: EventId
    type: str
    time: Moment
    data: dict[str, Any]


class EventPage(WireModel):
    """An influencer's events, oldest first."""

    items: list[EventRecord]
    next_cursor: NextCursor


class CloudEvent(WireModel):
    """An event as it is on the log: a CloudEvent 1.0 in the JSON format.

    `dataschema` names the JSON Schema of `data`, by the event's type and version.
    """

    model_config = ConfigDict(json_schema_extra=without_defaults)

    specversion: Literal["1.0"]
    id: EventId
    source: Url
    type: str
    subject: str = Field(description="The influencer, asset or content that it is about.")
    time: Moment
    datacontenttype: Literal["application/json"]
    dataschema: Url
    sequence: str = Field(
        pattern="^[1-9][0-9]*$", description="Number of the event in its subject's, from 1."
    )
    organizationid: PlainUuid
    projectid: PlainUuid
    correlationid: str = Field(description="The job's id, else that of the first request.")
    causationid: str = Field(description="The event or request that led to this event.")
    traceparent: str = Field("", description="W3C trace context of the first request.")
    data: dict[str, Any]


class EventFeed(WireModel):
    """Events of the organization, oldest first."""

    items: list[CloudEvent]
    next_cursor: str = Field(description="Opaque; `after` of the next page. Always there.")
    has_more: bool = Field(description="Whether there are later events already.")


class AcceptedJob(WireModel):
    """A job that was started just now."""

    job_id: JobId
    kind: JobKind
    status: Literal["running"]
    influencer_id: InfluencerId
    location_url: JobLocation


class JobFailure(WireModel):
    """Why a job failed, and whether the same request may work later."""

    code: JobErrorCode
    message: str
    retryable: bool


class JobResult(WireModel):
    """What a completed job has made of its influencer."""

    influencer_id: InfluencerId
    reference_images: list[ImageRecord]


class ContentResult(WireModel):
    """What a completed job of the kind `content_generate` has made; the image is a media asset."""

    influencer_id: InfluencerId
    image: ImageRecord


class JobRecord(WireModel):
    """A job."""

    job_id: JobId
    kind: JobKind
    status: JobStatus
    stage: JobStage
    progress: float = Field(ge=0, le=1, description="Never falls.")
    project_id: PlainUuid
    influencer_id: InfluencerId
    location_url: JobLocation
    sequence: Sequence
    created_at: Moment
    started_at: Moment | None
    finished_at: Moment | None
    result: JobResult | ContentResult | None = Field(description="Of a completed job.")
    error: JobFailure | None = Field(description="Of a failed job.")


class JobPage(WireModel):
    """Jobs of the organization, newest first."""

    items: list[JobRecord]
    next_cursor: NextCursor


class CancelAccepted(WireModel):
    """The job is canceled from now on."""

    job_id: JobId
    accepted: Literal[True]


class CancelRefused(WireModel):
    """The job had ended before."""

    job_id: JobId
    accepted: Literal[False]
    reason: Literal["ALREADY_COMPLETED", "ALREADY_FAILED", "ALREADY_CANCELED"]


class AssetRecord(WireModel):
    """A media asset of a project; the same bytes are one asset."""

    asset_id: AssetId
    project_id: PlainUuid
    kind: MediaKind
    mime_type: str
    size_bytes: int = Field(ge=1)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    width: int | None
    height: int | None
    url: Url
    thumbnail_url: Url | None
    created_at: Moment


class AssetPage(WireModel):
    """Media assets of a project, newest first."""

    items: list[AssetRecord]
    next_cursor: NextCursor


class PresignedUpload(WireModel):
    """Where and how to send the bytes of an upload."""

    upload_id: UploadId
    url: Url
    method: Literal["PUT"]
    headers: dict[str, str]
    expires_at: Moment


class KeyRecord(WireModel):
    """Who the caller is and what the key allows."""

    organization_id: PlainUuid
    organization_name: str
    scopes: list[str]
    rate_limit_tier: Tier
    api_key_id: str


class ProjectRecord(WireModel):
    """A project."""

    project_id: PlainUuid
    organization_id: PlainUuid
    name: str
    created_at: Moment


class ProjectPage(WireModel):
    """Projects of the organization, newest first."""

    items: list[ProjectRecord]
    next_cursor: NextCursor
