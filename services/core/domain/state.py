"""What an influencer's stream has come to: the fold of its events."""

from schemas.base import Timestamp, WireModel
from schemas.images import ReferenceImage
from schemas.jobs import InfluencerStatus, JobError, JobKind, JobStage, JobStatus
from schemas.profile import Profile

DEFAULT_VIEWS: tuple[str, ...] = ("portrait", "smiling", "casual", "evening")


class Influencer(WireModel):
    organization_id: str
    project_id: str
    influencer_id: str
    status: InfluencerStatus
    profile: Profile
    reference_images: tuple[ReferenceImage, ...] = ()
    source_influencer_id: str | None = None
    identity_id: str | None = None
    error_message: str | None = None
    job_id: str | None = None
    created_at: Timestamp
    updated_at: Timestamp
    deleted_at: Timestamp | None = None


class Job(WireModel):
    """A render job. `replaces_images`: the old set stays until this one is complete.

    A job that makes content has `content_id`, its stream, and `brief`.
    """

    organization_id: str
    project_id: str
    influencer_id: str
    content_id: str | None = None
    brief: str | None = None
    job_id: str
    kind: JobKind
    status: JobStatus = "running"
    stage: JobStage = "queued"
    views: tuple[str, ...]
    images: tuple[tuple[int, ReferenceImage], ...] = ()
    replaces_images: bool = False
    attempt: int = 0
    error: JobError | None = None
    created_at: Timestamp
    started_at: Timestamp | None = None
    finished_at: Timestamp | None = None
    sequence: int

    @property
    def stream_id(self) -> str:
        """The stream that the job's events are on."""
        return self.content_id or self.influencer_id

    @property
    def is_running(self) -> bool:
        return self.status == "running"

    @property
    def is_complete(self) -> bool:
        """Whether all images are there; no index is rendered twice."""
        return len(self.images) == len(self.views)

    def is_missing(self, index: int) -> bool:
        for rendered, _ in self.images:
            if rendered == index:
                return False
        return 0 <= index < len(self.views)

    @property
    def missing_indexes(self) -> tuple[int, ...]:
        rendered = {index for index, _ in self.images}
        return tuple(index for index in range(len(self.views)) if index not in rendered)

    @property
    def image_set(self) -> tuple[ReferenceImage, ...]:
        return tuple(image for _, image in sorted(self.images, key=lambda pair: pair[0]))

    @property
    def progress(self) -> float:
        """0 to 1; 1 only when completed."""
        if self.status == "completed":
            return 1.0
        return min(round(len(self.images) / len(self.views), 2), 0.99)


class InfluencerStream(WireModel):
    """`sequence` is that of the last event folded in; `job` is the running or the last one."""

    sequence: int = 0
    influencer: Influencer | None = None
    job: Job | None = None

    @property
    def project_id(self) -> str | None:
        return self.influencer.project_id if self.influencer else None

    @property
    def updated_at(self) -> Timestamp | None:
        return self.influencer.updated_at if self.influencer else None


INITIAL_STATE = InfluencerStream()
