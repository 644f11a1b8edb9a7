"""The checker's own fold: what a stream has come to, by the contract alone."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from services.ops.checker.facts import INFLUENCER_TOPIC, LoggedEvent

STARTS = ("InfluencerCreateRequested", "InfluencerRenderRequested", "ContentRequested")
TERMINALS = {
    "InfluencerReady": "completed",
    "InfluencerFailed": "failed",
    "JobCanceled": "canceled",
    "ContentGenerated": "completed",
    "ContentFailed": "failed",
}


@dataclass(slots=True)
class FoldedJob:
    job_id: str
    influencer_id: str
    kind: str
    views: int
    replaces_images: bool
    first: LoggedEvent
    status: str = "running"
    stage: str = "queued"
    sequence: int = 0
    images: dict[int, dict[str, Any]] = field(default_factory=dict)
    error: dict[str, Any] | None = None

    @property
    def is_complete(self) -> bool:
        return len(self.images) >= self.views


@dataclass(slots=True)
class FoldedStream:
    """One of an influencer, of a content (one job) or of a media asset (`asset`).

    `error_message` is "" for one whose words the contract leaves open; None for none.
    """

    organization_id: str
    stream_id: str
    topic: str = INFLUENCER_TOPIC
    project_id: str = ""
    sequence: int = 0
    status: str = ""
    profile: dict[str, Any] = field(default_factory=dict)
    images: list[dict[str, Any]] = field(default_factory=list)
    error_message: str | None = None
    jobs: dict[str, FoldedJob] = field(default_factory=dict)
    current_job: str | None = None
    asset: dict[str, Any] | None = None
    damaged: bool = False

    @property
    def key(self) -> str:
        return f"{self.organization_id}/{self.stream_id}"

    @property
    def job(self) -> FoldedJob | None:
        return self.jobs.get(self.current_job) if self.current_job else None

    @property
    def asset_ids(self) -> list[str]:
        return [image.get("assetId", "") for image in self.images]

    @property
    def has_running_job(self) -> bool:
        return self.job is not None and self.job.status == "running"


def apply(stream: FoldedStream, event: LoggedEvent) -> None:
    """Folds `event` in; of an event that breaks a rule, what can be made of it."""
    fold = _FOLDS.get(event.type)
    if fold is not None:
        fold(stream, event, event.data)
    stream.sequence = event.sequence
    job = stream.jobs.get(event.data.get("jobId", ""))
    if job is not None:
        job.sequence = event.sequence


def _created(stream: FoldedStream, event: LoggedEvent, data: dict[str, Any]) -> None:
    stream.project_id = event.project_id
    stream.profile = dict(data.get("profile") or {})
    stream.images = list(data.get("referenceImages") or ())
    stream.status = "draft"


def _requested(stream: FoldedStream, event: LoggedEvent, data: dict[str, Any]) -> None:
    if event.type == "InfluencerCreateRequested":
        _created(stream, event, data)
    job_id = data["jobId"]
    stream.jobs[job_id] = FoldedJob(
        job_id=job_id,
        influencer_id=stream.stream_id,
        kind=data.get("jobKind", "influencer_render"),
        views=len(data.get("views") or ()),
        replaces_images=any(image.get("source") == "rendered" for image in stream.images),
        first=event,
    )
    stream.current_job = job_id
    stream.error_message = None
    if stream.status != "ready":
        stream.status = "pending"


def _started(stream: FoldedStream, _: LoggedEvent, data: dict[str, Any]) -> None:
    job = stream.jobs.get(data["jobId"])
    if job is not None and not job.is_complete:
        job.stage = "rendering"
    if stream.status != "ready":
        stream.status = "training"


def _rendered(stream: FoldedStream, _: LoggedEvent, data: dict[str, Any]) -> None:
    job = stream.jobs.get(data["jobId"])
    if job is None:
        return
    job.images[data["index"]] = data["image"]
    job.stage = "finalizing" if job.is_complete else "rendering"
    if not job.replaces_images:
        stream.images.append(data["image"])
    elif job.is_complete:
        uploaded = [image for image in stream.images if image.get("source") == "uploaded"]
        stream.images = uploaded + [job.images[index] for index in sorted(job.images)]


def _ended(stream: FoldedStream, event: LoggedEvent, data: dict[str, Any]) -> None:
    job = stream.jobs.get(data["jobId"])
    if job is not None:
        job.status = TERMINALS[event.type]
        job.stage = "done"
        job.error = data.get("error")
    if event.type == "InfluencerReady":
        stream.status, stream.error_message = "ready", None
    elif stream.topic == INFLUENCER_TOPIC and stream.status != "ready":
        stream.status = "failed"
        stream.error_message = (data.get("error") or {}).get("message", "")


def _updated(stream: FoldedStream, _: LoggedEvent, data: dict[str, Any]) -> None:
    stream.profile.update(data.get("changes") or {})


def _linked(stream: FoldedStream, _: LoggedEvent, data: dict[str, Any]) -> None:
    stream.images.extend(data.get("images") or ())


def _unlinked(stream: FoldedStream, _: LoggedEvent, data: dict[str, Any]) -> None:
    stream.images = [i for i in stream.images if i.get("assetId") != data.get("assetId")]


def _deleted(stream: FoldedStream, _: LoggedEvent, __: dict[str, Any]) -> None:
    stream.status = "deleted"


def _content_requested(stream: FoldedStream, event: LoggedEvent, data: dict[str, Any]) -> None:
    job_id = data["jobId"]
    stream.project_id = event.project_id
    stream.jobs[job_id] = FoldedJob(
        job_id=job_id,
        influencer_id=data["influencerId"],
        kind="content_generate",
        views=1,
        replaces_images=False,
        first=event,
    )
    stream.current_job = job_id


def _content_generated(stream: FoldedStream, event: LoggedEvent, data: dict[str, Any]) -> None:
    job = stream.jobs.get(data["jobId"])
    if job is not None:
        job.images[0] = data["image"]
    _ended(stream, event, data)


def _uploaded(stream: FoldedStream, event: LoggedEvent, data: dict[str, Any]) -> None:
    stream.project_id = event.project_id
    stream.asset = data


_FOLDS: dict[str, Callable[[FoldedStream, LoggedEvent, dict[str, Any]], None]] = {
    "InfluencerDrafted": _created,
    "InfluencerCreateRequested": _requested,
    "InfluencerRenderRequested": _requested,
    "InfluencerTrainingStarted": _started,
    "InfluencerImageRendered": _rendered,
    "InfluencerReady": _ended,
    "InfluencerFailed": _ended,
    "JobCanceled": _ended,
    "InfluencerUpdated": _updated,
    "ReferenceImagesLinked": _linked,
    "ReferenceImageUnlinked": _unlinked,
    "InfluencerDeleted": _deleted,
    "ContentRequested": _content_requested,
    "ContentGenerated": _content_generated,
    "ContentFailed": _ended,
    "MediaAssetUploaded": _uploaded,
}
