"""Rule groups 2 and 3: each stream's sequence, and the life of its jobs."""

from collections import defaultdict
from collections.abc import Iterable

from services.ops.checker.facts import (
    CONTENT_TOPIC,
    INFLUENCER_TOPIC,
    MEDIA_TOPIC,
    LoggedEvent,
    StreamKey,
    Violation,
)
from services.ops.checker.fold import STARTS, TERMINALS, FoldedJob, FoldedStream, apply

CREATIONS = {
    INFLUENCER_TOPIC: ("InfluencerDrafted", "InfluencerCreateRequested"),
    MEDIA_TOPIC: ("MediaAssetUploaded",),
    CONTENT_TOPIC: ("ContentRequested",),
}
TYPES = {
    INFLUENCER_TOPIC: ("Influencer", "ReferenceImage", "JobCanceled"),
    MEDIA_TOPIC: ("MediaAsset",),
    CONTENT_TOPIC: ("Content", "JobCanceled"),
}
"""How the types begin that a topic has."""
FAILURE_CODES = (
    "RENDER_REJECTED",
    "RENDER_TIMEOUT",
    "RENDER_BACKEND_ERROR",
    "SEED_UNREADABLE",
)
CONTENT_FAILURE_CODES = (*FAILURE_CODES, "INFLUENCER_FAILED", "INFLUENCER_DELETED")

Streams = dict[StreamKey, FoldedStream]


def check_streams(
    events: Iterable[LoggedEvent], allow_running: bool
) -> tuple[Streams, list[Violation]]:
    """Every stream folded, and what is wrong with their order and their jobs."""
    by_stream: dict[StreamKey, list[LoggedEvent]] = defaultdict(list)
    for event in events:
        by_stream[event.stream].append(event)
    streams: Streams = {}
    violations: list[Violation] = []
    for stream_key, logged in by_stream.items():
        ordered, faults = _in_sequence(logged)
        stream, more = _folded(stream_key, ordered)
        stream.damaged = bool(faults) and len(ordered) != len({e.sequence for e in logged})
        streams[stream_key] = stream
        violations += faults + more
        if not allow_running and not stream.damaged:
            violations += _unended(stream)
    return streams, violations + _shared_jobs(streams)


def _in_sequence(logged: list[LoggedEvent]) -> tuple[list[LoggedEvent], list[Violation]]:
    """The events by sequence, each once, up to the first hole: behind it nothing can be judged."""
    if [event.sequence for event in logged] == list(range(1, len(logged) + 1)):
        return logged, []
    faults = _order_faults(logged)
    by_sequence: dict[int, LoggedEvent] = {}
    for event in logged:
        by_sequence.setdefault(event.sequence, event)
    ordered: list[LoggedEvent] = []
    while len(ordered) + 1 in by_sequence:
        ordered.append(by_sequence[len(ordered) + 1])
    return ordered, faults


def _order_faults(logged: list[LoggedEvent]) -> list[Violation]:
    seen: set[int] = set()
    last = 0
    present = {event.sequence for event in logged}
    faults = []
    for event in logged:
        if event.sequence in seen:
            faults.append(event.violates("sequence-repeated", f"{event.sequence} again"))
        elif event.sequence < last:
            faults.append(event.violates("sequence-out-of-order", f"{event.sequence} after {last}"))
        elif missing := _missing(event.sequence, present, seen):
            faults.append(event.violates("sequence-gap", f"{missing} missing before it"))
        seen.add(event.sequence)
        last = max(last, event.sequence)
    return faults


def _missing(sequence: int, present: set[int], seen: set[int]) -> str:
    """The hole right before `sequence`, "" when there is none."""
    if sequence == 1 or sequence - 1 in present or sequence - 1 in seen:
        return ""
    first = sequence - 1
    while first > 1 and first - 1 not in present:
        first -= 1
    return f"{first}" if first == sequence - 1 else f"{first} to {sequence - 1}"


def _folded(
    stream_key: StreamKey, ordered: list[LoggedEvent]
) -> tuple[FoldedStream, list[Violation]]:
    topic = ordered[0].topic if ordered else INFLUENCER_TOPIC
    stream = FoldedStream(*stream_key, topic)
    violations: list[Violation] = []
    for event in ordered:
        faults = _stream_faults(stream, event) or _job_faults(stream, event)
        violations += faults
        try:
            apply(stream, event)
        except (KeyError, TypeError, AttributeError, ValueError) as fault:
            violations.append(event.violates("data-incomplete", f"{event.type}: {fault!r}"))
            stream.sequence = event.sequence
    return stream, violations


def _stream_faults(stream: FoldedStream, event: LoggedEvent) -> list[Violation]:
    if stream.status == "deleted":
        return [event.violates("event-after-deletion", event.type)]
    if not event.type.startswith(TYPES[stream.topic]):
        return [event.violates("type-of-another-topic", f"{event.type} on {stream.topic}")]
    if (event.type in CREATIONS[stream.topic]) != (event.sequence == 1):
        detail = f"{event.type} has sequence {event.sequence}"
        return [event.violates("creation-is-not-first", detail)]
    if event.sequence > 1 and event.project_id != stream.project_id:
        return [event.violates("project-changed", event.project_id)]
    if event.type == "InfluencerDeleted" and stream.has_running_job:
        return [event.violates("deleted-without-cancel", f"{stream.current_job} was running")]
    return []


def _job_faults(stream: FoldedStream, event: LoggedEvent) -> list[Violation]:
    job_id = event.data.get("jobId")
    if event.type in STARTS:
        return _start_faults(stream, event)
    if job_id is None:
        return []
    job = stream.jobs.get(job_id)
    if job is None:
        return [event.violates("job-never-started", f"{event.type} of {job_id}")]
    if job.status != "running":
        repeated = event.type in TERMINALS
        rule = "job-ended-twice" if repeated else "event-after-job-ended"
        return [event.violates(rule, f"{event.type} of {job_id}, which is {job.status}")]
    if event.type == "InfluencerImageRendered":
        return _image_faults(job, event)
    if event.type in ("InfluencerFailed", "ContentFailed"):
        return _failure_faults(event)
    named = event.data.get("influencerId", job.influencer_id)
    if named != job.influencer_id:
        return [event.violates("job-of-another-influencer", f"{named}, not {job.influencer_id}")]
    return _ready_faults(job, event) if event.type == "InfluencerReady" else []


def _start_faults(stream: FoldedStream, event: LoggedEvent) -> list[Violation]:
    job_id = event.data.get("jobId")
    if job_id in stream.jobs:
        return [event.violates("job-started-twice", f"{job_id}")]
    if stream.has_running_job:
        return [event.violates("jobs-overlap", f"{job_id} while {stream.current_job} runs")]
    return []


def _image_faults(job: FoldedJob, event: LoggedEvent) -> list[Violation]:
    index, total = event.data.get("index"), event.data.get("total")
    faults = []
    if total != job.views:
        faults.append(event.violates("image-total-wrong", f"{total}, the job has {job.views}"))
    if not isinstance(index, int) or not 0 <= index < job.views:
        faults.append(event.violates("image-index-out-of-range", f"{index} of {job.views}"))
    elif index in job.images:
        faults.append(event.violates("image-index-repeated", f"{index} of {job.job_id}"))
    return faults


def _ready_faults(job: FoldedJob, event: LoggedEvent) -> list[Violation]:
    if not job.is_complete:
        detail = f"{len(job.images)} of {job.views} images of {job.job_id}"
        return [event.violates("ready-before-all-images", detail)]
    rendered = [job.images[index].get("assetId") for index in sorted(job.images)]
    if event.data.get("assetIds") != rendered:
        return [event.violates("ready-names-other-images", f"{event.data.get('assetIds')}")]
    return []


def _failure_faults(event: LoggedEvent) -> list[Violation]:
    codes = CONTENT_FAILURE_CODES if event.type == "ContentFailed" else FAILURE_CODES
    code = (event.data.get("error") or {}).get("code")
    return [] if code in codes else [event.violates("failure-code-unknown", f"{code}")]


def _unended(stream: FoldedStream) -> list[Violation]:
    return [
        job.first.violates("job-never-ended", f"{job.job_id} is {job.stage}")
        for job in stream.jobs.values()
        if job.status == "running"
    ]


def _shared_jobs(streams: Streams) -> list[Violation]:
    first_of: dict[str, FoldedStream] = {}
    violations = []
    for stream in streams.values():
        for job in stream.jobs.values():
            if first_of.setdefault(job.job_id, stream) is not stream:
                other = first_of[job.job_id].key
                violations.append(
                    job.first.violates("job-on-two-streams", f"{job.job_id}, also {other}")
                )
    return violations
