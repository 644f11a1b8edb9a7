"""The job that a path names, and the stream that its events are in."""

from schemas.ids import Prefix
from services.api.calls import Call
from services.api.changes import Subject
from services.api.errors import NotFound
from services.api.queries import find_job
from services.core.domain.state import Job


async def job_of(call: Call) -> Job:
    """The path's job. Raises NotFound."""
    job_id = call.identifier("jobId", Prefix.JOB)
    async with call.reading() as connection:
        job = await find_job(connection, call.organization_id, job_id)
    if job is None:
        raise NotFound()
    return job


def stream_of(job: Job) -> Subject:
    """The job's row has all that its stream had until the sequence of the stream's own row."""
    if job.content_id:
        return Subject("job", job.organization_id, job.job_id)
    return Subject("influencer", job.organization_id, job.influencer_id)


def history_of(job: Job) -> Subject:
    return Subject("history", job.organization_id, job.stream_id)
