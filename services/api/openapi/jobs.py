"""Operations on jobs."""

from collections.abc import Mapping
from types import MappingProxyType

from schemas.faults import Instance
from schemas.records import CancelAccepted, CancelRefused, JobPage, JobRecord
from schemas.rest import EmptyBody
from services.api.openapi import examples
from services.api.openapi.influencers import PAGING, READ
from services.api.openapi.vocabulary import EVENT_STREAM, Link, Operation, Reply, RequestBody

_STREAM = f"""retry: 3000

id: {examples.EVENT}
event: snapshot
data: {{"jobId":"{examples.JOB}","status":"running"}}

"""
_UNAVAILABLE = {
    "finalizing": Instance(
        "The job can no longer be canceled.",
        {"subcode": "JOB_CANCEL_UNAVAILABLE", "jobId": examples.JOB, "stage": "finalizing"},
    )
}

OPERATIONS: Mapping[tuple[str, str], Operation] = MappingProxyType(
    {
        ("GET", "/v1/jobs"): Operation(
            "listJobs",
            "Jobs",
            "List jobs",
            "The organization's jobs, newest first.",
            (
                Reply(
                    200,
                    "A page.",
                    JobPage,
                    examples.pages(examples.COMPLETED_JOB),
                    headers=READ,
                    links={"next": Link("listJobs", {"cursor": "$response.body#/nextCursor"})},
                ),
            ),
            parameters=("jobProjectId", "jobInfluencerId", "kind", "jobStatus", *PAGING),
        ),
        ("GET", "/v1/jobs/{jobId}"): Operation(
            "getJob",
            "Jobs",
            "Get a job",
            "Poll it: with `Prefer: wait` it answers as soon as the job has changed, or ended.",
            (
                Reply(
                    200,
                    "The job.",
                    JobRecord,
                    {
                        "running": examples.RUNNING_JOB,
                        "completed": examples.COMPLETED_JOB,
                        "completed content": examples.COMPLETED_CONTENT_JOB,
                        "failed": examples.FAILED_JOB,
                    },
                    headers=("ETag", *READ, "RetryAfterWhileRunning", "PreferenceApplied"),
                    links={
                        "influencer": Link(
                            "getInfluencer", {"influencerId": "$response.body#/influencerId"}
                        ),
                        "cancel": Link("cancelJob", {"jobId": "$response.body#/jobId"}),
                    },
                ),
                Reply(
                    304,
                    "The job is as the client has it.",
                    headers=("ETag", *READ, "RetryAfterWhileRunning", "PreferenceApplied"),
                ),
            ),
            parameters=("minSequence", "If-None-Match", "Prefer"),
        ),
        ("GET", "/v1/jobs/{jobId}/events"): Operation(
            "getJobEvents",
            "Jobs",
            "Watch a job",
            "Every change as it happens, as server-sent events. Opens with the job as it is"
            " (`event: snapshot`), closes after the last change. A client that comes back names"
            " the last event it saw, and misses none.",
            (
                Reply(
                    200,
                    "The stream. A comment line every 15 s keeps it open.",
                    examples={"the opening": _STREAM},
                    headers=READ,
                    media_type=EVENT_STREAM,
                ),
                Reply(
                    204,
                    "The job has ended and the client has seen all of it: an EventSource stops.",
                    headers=READ,
                ),
            ),
            parameters=("Last-Event-ID", "afterEvent"),
        ),
        ("POST", "/v1/jobs/{jobId}/cancel"): Operation(
            "cancelJob",
            "Jobs",
            "Cancel a job",
            "A job that runs is canceled from that moment: no later image, no `ready`.",
            (
                Reply(
                    200,
                    "The job had ended before.",
                    CancelRefused,
                    {
                        "too late": {
                            "jobId": examples.JOB,
                            "accepted": False,
                            "reason": "ALREADY_COMPLETED",
                        }
                    },
                    headers=("NoStore", "Replayed"),
                ),
                Reply(
                    202,
                    "The job is canceled.",
                    CancelAccepted,
                    {"canceled": {"jobId": examples.JOB, "accepted": True}},
                    headers=("NoStore", "Replayed"),
                    links={"job": Link("getJob", {"jobId": "$response.body#/jobId"})},
                ),
            ),
            RequestBody(EmptyBody, {"nothing": {}}, required=False),
            faults=("CONFLICT",),
            examples_of_faults={"CONFLICT": _UNAVAILABLE},
        ),
    }
)
