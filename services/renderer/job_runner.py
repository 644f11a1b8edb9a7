"""Runs one job, from wherever its stream says it is, to its end.

The stream is the progress: what it does not miss is not made again. A refused append is the truth
about the job, whatever this process believed: one that has ended stays ended.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from schemas.images import ReferenceImage
from schemas.jobs import JobError
from services.core.domain.commands import (
    Command,
    CompleteJob,
    FailJob,
    RecordImage,
    StartTraining,
)
from services.core.domain.errors import ImageNotExpected, ImagesMissing, JobEnded
from services.core.domain.state import Influencer, Job
from services.core.eventlog.append import find_stream
from services.core.eventlog.group_commit import GroupCommit
from services.core.eventlog.requests import AppendRequest
from services.core.postgres import Pool, acquire
from services.core.rendering.base import GivenUp
from services.core.rendering.images import ImageMaker
from services.core.work.patience import patiently
from services.core.work.render_queue import RenderTask
from services.core.work.worker import JobOutcome

SOURCE = "/services/renderer"


@dataclass(frozen=True, slots=True)
class JobRunner:
    pool: Pool
    group_commit: GroupCommit
    images: ImageMaker
    parallel_images: int
    max_starts: int

    async def run(self, task: RenderTask, *, resumes: bool = False) -> JobOutcome:
        """Raises RenderError when an image could not be made; waits for whatever is away."""
        try:
            return await self._run(task, resumes)
        except JobEnded:
            return "ended"

    async def fail(self, task: RenderTask, error: JobError) -> JobOutcome:
        try:
            await self._append(task, FailJob(*_stream(task), task.job_id, error))
        except JobEnded:
            return "ended"
        return "failed"

    async def _run(self, task: RenderTask, resumes: bool) -> JobOutcome:
        influencer, job = await self._find(task)
        seeds = await self.images.seeds(influencer)
        if not (resumes and job.attempt):
            await self._start(task, job)
        while True:
            await self._make_missing(task, influencer, job, seeds)
            with suppress(ImagesMissing):
                await self._append(task, CompleteJob(*_stream(task), task.job_id))
                return "completed"
            influencer, job = await self._find(task)

    async def _start(self, task: RenderTask, job: Job) -> None:
        """Raises GivenUp."""
        if job.attempt >= self.max_starts:  # it may be the end of every process that tries
            raise GivenUp(job.attempt)
        await self._append(
            task, StartTraining(*_stream(task), task.job_id, self.images.backend.name)
        )

    async def _find(self, task: RenderTask) -> tuple[Influencer, Job]:
        """The influencer and the job as of now. Raises JobEnded."""

        async def find() -> tuple[Influencer, Job]:
            async with acquire(self.pool) as connection:
                state = await find_stream(connection, *_stream(task))
            if state is None or state.influencer is None or state.job is None:
                raise JobEnded(task.job_id, None)
            if state.job.job_id != task.job_id or not state.job.is_running:
                raise JobEnded(task.job_id, state.job.status)
            return state.influencer, state.job

        return await patiently("find stream", find)

    async def _make_missing(
        self, task: RenderTask, influencer: Influencer, job: Job, seeds: tuple[bytes, ...]
    ) -> None:
        """Renders ahead while what is done is appended, in the order of the views."""
        missing = job.missing_indexes
        views = [job.views[index] for index in missing]
        async with self._under_way(influencer, views, seeds) as under_way:
            for index, image in zip(missing, under_way, strict=True):
                await self._record(task, index, await image)

    @asynccontextmanager
    async def _under_way(
        self, influencer: Influencer, views: Iterable[str], seeds: tuple[bytes, ...]
    ) -> AsyncIterator[list["asyncio.Task[ReferenceImage]"]]:
        turn = asyncio.Semaphore(self.parallel_images)
        tasks = [
            asyncio.create_task(self.images.make(influencer, view, seeds, turn)) for view in views
        ]
        try:
            yield tasks
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _record(self, task: RenderTask, index: int, image: ReferenceImage) -> None:
        # Another worker recorded it, or an append of ours whose answer was lost.
        with suppress(ImageNotExpected):
            await self._append(task, RecordImage(*_stream(task), task.job_id, index, image))

    async def _append(self, task: RenderTask, command: Command) -> None:
        request = AppendRequest(
            command=command,
            source=SOURCE,
            request_id=task.job_id,
            causation_id=task.causation_id,
            traceparent=task.traceparent,
        )
        await patiently(type(command).__name__, lambda: self.group_commit.append(request))


def _stream(task: RenderTask) -> tuple[str, str]:
    return task.organization_id, task.influencer_id
