"""Jobs: get, cancel."""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from aiohttp import web

from schemas.events import Event
from schemas.jobs import JobStatus
from schemas.rest import EmptyBody
from services.api.answers import NO_STORE, json_body, read_answer
from services.api.calls import Call
from services.api.changes import Subject
from services.api.freshness import reached
from services.api.jobs import job_of, stream_of
from services.api.preferences import Patience, acknowledge, held
from services.api.records import job_record
from services.core.domain.commands import CancelJob
from services.core.domain.content import CancelContent, ContentStream
from services.core.domain.errors import CommandRefused, JobEnded
from services.core.domain.state import InfluencerStream, Job
from services.core.eventlog.requests import Respond, RespondToRefusal, StoredResponse

POLL_AFTER = "1"

ENDED_REASONS: Mapping[JobStatus, str] = MappingProxyType(
    {
        "completed": "ALREADY_COMPLETED",
        "failed": "ALREADY_FAILED",
        "canceled": "ALREADY_CANCELED",
    }
)


async def get_job(call: Call) -> web.Response:
    heard, find = call.api.changes.heard, partial(job_of, call)
    job = await held(call, await reached(call, find, stream_of), heard, find, _patience)
    response = read_answer(call.request, job_record(job, call.api.urls), etag=_etag(job))
    if job.is_running:
        response.headers["Retry-After"] = POLL_AFTER
    return acknowledge(call.request, response)


def _patience(job: Job) -> Patience:
    subject = Subject("job", job.organization_id, job.job_id)
    return Patience(subject, _etag(job), is_settled=not job.is_running)


def _etag(job: Job) -> str:
    return f'"{job.sequence}"'


async def cancel_job(call: Call) -> web.Response:
    job = await job_of(call)
    body = await call.body(required=False)
    body.as_model(EmptyBody)
    command = _cancel(job, call.key.key_id)
    path = f"/v1/jobs/{job.job_id}/cancel"
    return await call.append(command, path, body, _accepted(job), _ended(job))


def _cancel(job: Job, requested_by: str) -> CancelJob | CancelContent:
    command = CancelContent if job.content_id is not None else CancelJob
    return command(job.organization_id, job.stream_id, job.job_id, requested_by)


def _accepted(job: Job) -> Respond:
    def respond(_: InfluencerStream | ContentStream, __: tuple[Event, ...]) -> StoredResponse:
        content = {"jobId": job.job_id, "accepted": True}
        return StoredResponse(202, NO_STORE, json_body(content))

    return respond


def _ended(job: Job) -> RespondToRefusal:
    def respond(refusal: CommandRefused) -> StoredResponse | None:
        if not isinstance(refusal, JobEnded):
            return None
        # Where another job has followed this one, its row is final and says how it ended.
        reason = ENDED_REASONS.get(refusal.status or job.status)
        if reason is None:
            return None
        content = {"jobId": job.job_id, "accepted": False, "reason": reason}
        return StoredResponse(200, NO_STORE, json_body(content))

    return respond
