"""Makes the picture of one job and appends how it ended; a refused append is the truth."""

import asyncio
from dataclasses import dataclass
from datetime import datetime

from schemas.jobs import JobError
from services.content.metrics import PICKUP_SECONDS
from services.content.store import InfluencerKey, count_start, find_influencers
from services.content.task import ContentTask
from services.content.waiting import DELETED, KnownInfluencer, failed
from services.core.clock import Clock, timestamp
from services.core.domain.content import (
    CONTENT_VIEW,
    CompleteContent,
    ContentCommand,
    ContentStream,
    FailContent,
)
from services.core.domain.errors import JobEnded
from services.core.domain.state import Influencer
from services.core.eventlog.append import find_state
from services.core.eventlog.group_commit import GroupCommit
from services.core.eventlog.requests import AppendRequest
from services.core.failpoints import fail_point
from services.core.postgres import Pool, acquire
from services.core.rendering.base import GivenUp
from services.core.rendering.images import ImageMaker
from services.core.work.patience import patiently
from services.core.work.worker import JobOutcome

SOURCE = "/services/content"


@dataclass(frozen=True, slots=True)
class ContentRunner:
    pool: Pool
    group_commit: GroupCommit
    images: ImageMaker
    clock: Clock
    max_starts: int

    async def run(self, task: ContentTask, *, resumes: bool = False) -> JobOutcome:
        """Raises RenderError when the picture could not be made; waits for whatever is away."""
        released_at = datetime.fromisoformat(task.released_at)
        PICKUP_SECONDS.observe((self.clock() - released_at).total_seconds())
        try:
            await self._require_running(task)
            if not resumes:
                await self._require_start(task)
            return await self._do(task)
        except JobEnded:
            return "ended"

    async def fail(self, task: ContentTask, error: JobError) -> JobOutcome:
        try:
            await self._append(task, FailContent(*_stream(task), error))
        except JobEnded:
            return "ended"
        return "failed"

    async def _do(self, task: ContentTask) -> JobOutcome:
        known = await patiently("find influencer", lambda: self._known(task))
        influencer = known.stream.influencer
        if influencer is None or influencer.status == "deleted":
            return await self.fail(task, DELETED)
        if task.error is not None or known.person is None:
            return await self.fail(task, task.error or failed(influencer))
        return await self._make(task, known.person)

    async def _make(self, task: ContentTask, person: Influencer) -> JobOutcome:
        started_at = timestamp(self.clock())
        image = await self.images.make(
            person,
            CONTENT_VIEW,
            await self.images.seeds(person),
            asyncio.Semaphore(),
            project_id=task.project_id,
            brief=task.brief,
        )
        await self._append(task, CompleteContent(*_stream(task), image, started_at))
        fail_point("content.completed")
        return "completed"

    async def _known(self, task: ContentTask) -> KnownInfluencer:
        key = InfluencerKey(task.organization_id, task.influencer_id)
        async with acquire(self.pool) as connection:
            return (await find_influencers(connection, [key])).get(key, KnownInfluencer())

    async def _require_running(self, task: ContentTask) -> None:
        """Raises JobEnded."""

        async def find() -> None:
            async with acquire(self.pool) as connection:
                state = await find_state(connection, task.organization_id, task.content_id)
            job = state.job if isinstance(state, ContentStream) else None
            if job is None or not job.is_running:
                raise JobEnded(task.job_id, job.status if job else None)

        await patiently("find content", find)

    async def _require_start(self, task: ContentTask) -> None:
        """Raises GivenUp: the job may be the end of every process that begins it."""

        async def count() -> int:
            async with acquire(self.pool) as connection:
                return await count_start(connection, task.organization_id, task.content_id)

        starts = await patiently("count start", count)
        if starts > self.max_starts:
            raise GivenUp(starts - 1)

    async def _append(self, task: ContentTask, command: ContentCommand) -> None:
        request = AppendRequest(
            command=command,
            source=SOURCE,
            request_id=task.job_id,
            causation_id=task.causation_id,
            traceparent=task.traceparent,
        )
        await patiently(type(command).__name__, lambda: self.group_commit.append(request))


def _stream(task: ContentTask) -> tuple[str, str, str]:
    return task.organization_id, task.content_id, task.job_id
