"""Jobs that still run and are not in the render queue: the renderer read their events long ago."""

from services.core.postgres import Connection
from services.core.work.queue import add_in
from services.core.work.render_queue import PLACE, RenderTask

NO_TIMEOUT = 24 * 3600.0

# What is behind a record in quarantine may be the job's end: nobody knows yet.
FIND_RUNNING = """
select j.job_id, j.organization_id::text, j.influencer_id, e.event_id as causation_id, e.traceparent
from read_model.jobs j
join read_model.events e using (organization_id, stream_id)
where ($1::text is null or j.job_id = $1)
    and j.status = 'running' and j.kind <> 'content_generate'
    and e.type in ('InfluencerCreateRequested', 'InfluencerRenderRequested')
    and e.correlation_id = j.job_id
    and not exists (
        select from read_model.quarantine q
        where q.stream_key = j.organization_id::text || '/' || j.stream_id and not q.repeated
    )
order by j.created_at, j.job_id
"""


async def queue_running_jobs(connection: Connection, job_id: str | None = None) -> int:
    """Queues that one, or all; one that is in the queue is left alone. Gives how many it queued."""
    rows = await connection.fetch(FIND_RUNNING, job_id, timeout=NO_TIMEOUT)
    return sum([await add_in(connection, PLACE, RenderTask(**dict(row))) for row in rows])
