"""Faust acknowledges an event whose handling raised or was cancelled: so neither may get out."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn, cast

import pytest

from schemas.events import Event, InfluencerCreateRequested, headers_of, value_of
from services.core.eventlog.topics import TopicNames
from services.core.work.render_queue import RenderQueue, RenderTask
from services.renderer import ingest as ingest_module
from services.renderer.faust_application import Record
from services.renderer.ingest import Ingest
from tests.unit.samples import (
    INFLUENCER_ID,
    JOB_ID,
    ORGANIZATION_ID,
    PROFILE,
    PROJECT_ID,
    TIME,
    TRACEPARENT,
)

REQUESTED = Event(
    id="evt_01HXZ9G7KMV2QX8Y1S5RJW3B7T",
    source="/services/api",
    subject=INFLUENCER_ID,
    time=TIME,
    sequence=1,
    organization_id=ORGANIZATION_ID,
    project_id=PROJECT_ID,
    correlation_id=JOB_ID,
    causation_id="req_01HXZ9G7KMV2QX8Y1S5RJW3B7T",
    traceparent=TRACEPARENT,
    data=InfluencerCreateRequested(
        job_id=JOB_ID, job_kind="influencer_create", profile=PROFILE, views=("portrait",)
    ),
)
RECORD = Record(
    "influencer.events.v1",
    0,
    0,
    [(name, text.encode()) for name, text in headers_of(REQUESTED).items()],
    value_of(REQUESTED),
)


class ProcessEnded(BaseException):
    """In place of the end of this process."""


@pytest.fixture(autouse=True)
def _ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def end_process(reason: str, **details: object) -> NoReturn:
        raise ProcessEnded(reason)

    monkeypatch.setattr(ingest_module, "end_process", end_process)
    monkeypatch.setattr(ingest_module, "GRACE", 0.1)


class Queue:
    def __init__(self, add: Callable[[], Awaitable[bool]]) -> None:
        self._add = add
        self.begun = asyncio.Event()
        self.added: list[str] = []

    async def add(self, task: RenderTask) -> bool:
        self.begun.set()
        await self._add()
        self.added.append(task.job_id)
        return True


def handling(queue: Queue) -> "asyncio.Task[None]":
    ingest = Ingest(cast(RenderQueue, queue), "nowhere:9092", TopicNames(), "test-0")
    return asyncio.create_task(ingest.handle(RECORD))


async def test_an_event_is_handled_when_it_is_queued() -> None:
    async def at_once() -> bool:
        return True

    queue = Queue(at_once)
    await handling(queue)
    assert queue.added == [JOB_ID]


async def test_a_fault_ends_the_process() -> None:
    async def raises() -> bool:
        raise RuntimeError("a bug")

    with pytest.raises(ProcessEnded, match="could not be handled"):
        await handling(Queue(raises))


async def test_a_cancelled_event_is_finished_first() -> None:
    go_on = asyncio.Event()
    queue = Queue(go_on.wait)
    task = handling(queue)
    await queue.begun.wait()
    task.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert queue.added == [JOB_ID]


async def test_a_cancelled_event_that_cannot_be_finished_ends_the_process() -> None:
    queue = Queue(asyncio.Event().wait)
    task = handling(queue)
    await queue.begun.wait()
    task.cancel()
    with pytest.raises(ProcessEnded, match="in the middle"):
        await task


async def test_a_cancelled_event_that_fails_then_ends_the_process() -> None:
    go_on = asyncio.Event()

    async def fails_later() -> bool:
        await go_on.wait()
        raise RuntimeError("a bug")

    queue = Queue(fails_later)
    task = handling(queue)
    await queue.begun.wait()
    task.cancel()
    go_on.set()
    with pytest.raises(ProcessEnded, match="in the middle"):
        await task
