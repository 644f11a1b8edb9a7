"""`GET /v1/jobs/{jobId}/events`: a job's events as they happen, as server-sent events.

A new stream opens with a snapshot, the job's record, and goes on with the first event behind it;
one that resumes goes on behind the event it names, without a snapshot. Events come from the
history, in the order of their sequence and never past a hole in it, unless an operator has made
that by skipping a record. The job's row may be ahead of the history, which the projector writes:
then the snapshot waits until the history has its last event, whose id it carries.
"""

from collections.abc import Awaitable, Callable, Collection, Hashable, Sequence
from functools import partial
from typing import NamedTuple

import asyncpg
from aiohttp import web

from schemas.events import (
    ContentFailed,
    ContentGenerated,
    InfluencerFailed,
    InfluencerReady,
    JobCanceled,
)
from schemas.ids import InvalidIdentifier, Prefix, parse_identifier
from services.api.answers import READ_HEADERS, json_body
from services.api.calls import Call
from services.api.changes import Heard
from services.api.errors import Invalid, NotFound
from services.api.handlers.history import event_record
from services.api.history_query import find_sequence, find_skips, find_snapshot, list_events_after
from services.api.jobs import history_of, job_of
from services.api.open_stream import (
    RESUME_HEADER,
    RESUME_PARAMETER,
    OpenStream,
    Value,
    message,
    stream_response,
)
from services.api.records import job_record
from services.core.domain.state import Job
from services.core.postgres import Connection

EVENTS_AT_ONCE = 50

TERMINAL = frozenset(
    model.__name__
    for model in (InfluencerReady, InfluencerFailed, JobCanceled, ContentGenerated, ContentFailed)
)


class Snapshot(NamedTuple):
    """`event_id` and `position` are those of the last event of the job that the history has; `None`
    and 0 without any. `is_told`: there will be none between that one and the job as it is here."""

    job: Job
    event_id: str | None
    position: int
    is_told: bool


class Events(NamedTuple):
    """What follows a position: the job's events as they are sent, and the position behind them.

    `known` is how far the stream is known to have come, which is more after a skip.
    """

    position: int
    known: int
    content: bytes
    is_full: bool
    is_last: bool


async def get_job_events(call: Call) -> web.StreamResponse:
    """The stream; 204 when the job has ended and the client has seen all of it.

    Raises NotFound, Invalid.
    """
    job = await job_of(call)
    position = await _resumed(call, job)
    if position is not None and not job.is_running and await _is_told(call, job, position):
        return web.Response(status=204, headers=READ_HEADERS)
    response = stream_response(call)
    if call.request.method == "HEAD":
        return web.Response(headers=response.headers)
    await response.prepare(call.request)
    await _JobStream(call, job, response).serve(position)
    return response


async def _resumed(call: Call, job: Job) -> int | None:
    """The sequence behind which the stream goes on; None for a new stream."""
    given = call.request.headers.get(RESUME_HEADER) or call.request.query.get(RESUME_PARAMETER)
    if not given:
        return None
    try:
        event_id = parse_identifier(Prefix.EVENT, given)
    except InvalidIdentifier:
        raise _not_an_event() from None
    async with call.reading() as connection:
        sequence = await find_sequence(connection, job.organization_id, job.stream_id, event_id)
    if sequence is None:
        raise _not_an_event()
    return sequence


async def _is_told(call: Call, job: Job, position: int) -> bool:
    """Whether nothing of the job that has ended comes behind `position`."""
    async with call.reading() as connection:
        last = await _snapshot_of(connection, job)
    return last.is_told and position >= last.position


async def _snapshot_of(connection: Connection, job: Job) -> Snapshot:
    """Raises NotFound."""
    row = await find_snapshot(connection, job.organization_id, job.job_id)
    if row is None:
        raise NotFound()
    state = Job.model_validate_json(row["state"])
    return Snapshot(state, row["event_id"], row["sequence"] or 0, row["is_told"])


def _not_an_event() -> Invalid:
    return Invalid(
        fields={RESUME_PARAMETER: ["Not an event of this job's influencer"]},
        message="Invalid query.",
    )


class _JobStream:
    """What one open stream of a job tells. It keeps a position and no events."""

    def __init__(self, call: Call, job: Job, response: web.StreamResponse) -> None:
        self._call = call
        self._job = job
        self._history = history_of(job)
        self._stream = OpenStream(call, response)

    async def serve(self, position: int | None) -> None:
        """Until the job's last event; never raises."""
        await self._stream.serve(partial(self._follow, position))

    async def _follow(self, position: int | None) -> None:
        if position is None:
            position = await self._send_snapshot()
        if position is not None:
            await self._send_events(position)

    async def _send_snapshot(self) -> int | None:
        """The position of the snapshot; None when nothing will follow it."""
        while True:
            heard, snapshot = await self._read("snapshot", self._snapshot)
            job = snapshot.job
            if snapshot.is_told:
                break
            await self._stream.beyond(self._history, job.sequence - 1, heard)
        record = json_body(job_record(job, self._call.api.urls))
        await self._stream.tell(message(snapshot.event_id, "snapshot", record))
        return job.sequence if job.is_running else None

    async def _send_events(self, position: int) -> None:
        while True:
            heard, events = await self._read(position, partial(self._events, position))
            if events.content:
                await self._stream.tell(events.content)
            if events.is_last:
                return
            position = events.position
            if not events.is_full:
                await self._stream.beyond(self._history, events.known, heard)

    async def _read(
        self, what: Hashable, read: Callable[[], Awaitable[Value]]
    ) -> tuple[Heard, Value]:
        """What `read` gives, shared with the job's other streams; and `heard` before it."""
        key = (self._job.organization_id, self._job.job_id, what)
        return await self._stream.read(key, read)

    async def _snapshot(self) -> Snapshot:
        async with self._call.reading() as connection:
            return await _snapshot_of(connection, self._job)

    async def _events(self, position: int) -> Events:
        stream = (self._job.organization_id, self._job.stream_id, position)
        async with self._call.reading() as connection:
            rows = await list_events_after(connection, *stream, EVENTS_AT_ONCE)
            skips = await find_skips(connection, *stream)
            events = self._following(position, rows, skips)
            if events.known > events.position and not events.is_last:
                return events._replace(is_last=await self._was_skipped(connection, events.known))
        return events

    def _following(
        self, position: int, rows: Sequence[asyncpg.Record], skips: Collection[int]
    ) -> Events:
        content, is_last = [], False
        for row in rows:
            is_next = row["sequence"] == position + 1 or row["sequence"] - 1 in skips
            if not is_next or is_last:
                break
            position = row["sequence"]
            record = event_record(row, self._call.api.urls)
            if record["data"].get("jobId") == self._job.job_id:
                content.append(message(row["event_id"], row["type"], json_body(record)))
                is_last = row["type"] in TERMINAL
        is_full = len(rows) == EVENTS_AT_ONCE
        is_whole = not is_full and (not rows or rows[-1]["sequence"] == position)
        known = max(position, *skips) if is_whole and skips else position
        return Events(position, known, b"".join(content), is_full, is_last)

    async def _was_skipped(self, connection: Connection, known: int) -> bool:
        """Whether the job has ended with what was skipped, so that no event will say so."""
        job = (await _snapshot_of(connection, self._job)).job
        return not job.is_running and job.sequence <= known
