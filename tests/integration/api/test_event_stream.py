"""`GET /v1/jobs/{jobId}/events`: complete, in order, resumable, and free again when it is left."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import asyncpg
import pytest

from schemas.ids import Prefix
from services.api.history_query import list_events_after
from services.core.domain.commands import RenderInfluencer, UpdateInfluencer
from services.core.notifications import READ_MODEL_CHANNEL
from tests.integration.api.calling import Caller, new_caller
from tests.integration.api.conftest import NewCaller
from tests.integration.api.scenes import IDS
from tests.integration.api.serving import Service, serving
from tests.integration.api.streaming import EventReader, project, streaming, until_waiting
from tests.integration.api.test_content import asked, stream_of
from tests.integration.api.test_jobs import Running
from tests.waiting import eventually

WITHIN = 10.0
RENDERED = ["InfluencerTrainingStarted", *["InfluencerImageRendered"] * 4, "InfluencerReady"]


@pytest.fixture
async def own(shared_database_url: str, service: Service) -> AsyncIterator[Service]:
    """An api in which nobody else waits."""
    async with serving(shared_database_url, store=service.store) as running:
        yield running


@pytest.fixture
async def job(caller: Caller, own: Service) -> Running:
    return await Running.started(caller.at(own), own)


async def projected(job: Running, *, without: int = 0) -> list[str]:
    return await project(job.caller, job.service, job.influencer_id, without=without)


async def opened(stream: EventReader) -> str:
    """The id of the snapshot that a stream opens with."""
    snapshot = await stream.next()
    assert stream.retry == 3000
    assert snapshot is not None
    assert snapshot.event == "snapshot"
    assert snapshot.id
    return snapshot.id


async def test_a_stream_opens_with_a_snapshot_and_tells_every_event_until_the_last(
    job: Running,
) -> None:
    first_ids = await projected(job)
    async with asyncio.timeout(WITHIN), streaming(job.caller, job.job_id) as stream:
        headers = stream.response.headers
        assert headers["Content-Type"].startswith("text/event-stream")
        assert headers["Cache-Control"] == "private, no-cache"
        assert headers["Vary"] == "X-Api-Key, Authorization"
        assert headers["X-Accel-Buffering"] == "no"
        assert headers["X-Request-Id"].startswith("req_")
        assert await opened(stream) == first_ids[-1]
        assert stream.seen[0].data == (await job.get()).json
        await job.train()
        await projected(job)
        started = await stream.next()
        assert started is not None
        assert started.event == "InfluencerTrainingStarted"
        assert started.data.keys() == {"eventId", "type", "time", "data"}
        assert started.data["eventId"] == started.id
        assert started.data["data"]["jobId"] == job.job_id
        await job.record(0, 1, 2, 3)
        await job.end()
        ids = await projected(job)
        rest = await stream.rest()
    assert [message.event for message in [started, *rest]] == RENDERED
    assert [message.id for message in [started, *rest]] == ids[1:]
    image = rest[0].data["data"]["image"]
    assert "signature=" in image["url"]
    assert "signature=" in image["thumbnailUrl"]


async def test_a_stream_tells_only_its_own_job(job: Running) -> None:
    await job.complete()
    again = IDS.new(Prefix.JOB)
    organization_id = job.caller.organization_id
    await job.append(RenderInfluencer(organization_id, job.influencer_id, again))
    other = Running(job.caller, job.service, {"jobId": again, "influencerId": job.influencer_id})
    await projected(job)
    async with asyncio.timeout(WITHIN), streaming(job.caller, again) as stream:
        await opened(stream)
        change = {"vibe": "calm"}
        await job.append(UpdateInfluencer(organization_id, job.influencer_id, changes=change))
        await other.finalize()
        await other.end()
        await projected(job)
        rest = await stream.rest()
    assert [message.event for message in rest] == RENDERED
    assert {message.data["data"]["jobId"] for message in rest} == {again}


@pytest.mark.parametrize("seen", [1, 2, 4, 6])
@pytest.mark.parametrize("by_header", [True, False])
async def test_a_stream_resumes_behind_the_event_it_is_told(
    job: Running, seen: int, by_header: bool
) -> None:
    await job.complete()
    ids = await projected(job)
    last = ids[seen - 1]
    resumed = (
        streaming(job.caller, job.job_id, after=ids[0], Last_Event_ID=last)
        if by_header
        else streaming(job.caller, job.job_id, after=last.lower())
    )
    async with asyncio.timeout(WITHIN), resumed as stream:
        rest = await stream.rest()
        assert stream.retry == 3000
    assert [message.id for message in rest] == ids[seen:]
    assert [message.event for message in rest] == RENDERED[seen - 1 :]


async def test_a_reconnect_after_the_last_event_is_told_to_stop(job: Running) -> None:
    await job.complete()
    ids = await projected(job)
    async with asyncio.timeout(WITHIN), streaming(job.caller, job.job_id) as stream:
        assert await opened(stream) == ids[-1]
        assert stream.seen[0].data["status"] == "completed"
        assert await stream.rest() == []
    answer = await job.caller.get(f"/v1/jobs/{job.job_id}/events", Last_Event_ID=ids[-1])
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.headers["Vary"] == "X-Api-Key, Authorization"


async def test_a_snapshot_waits_until_the_history_has_its_last_event(job: Running) -> None:
    """The row of a job that the api itself has changed is ahead of what the projector writes."""
    async with asyncio.timeout(WITHIN), streaming(job.caller, job.job_id) as stream:
        snapshot = asyncio.create_task(stream.next())
        await until_waiting(job.service, 1)
        assert not snapshot.done()
        assert (await job.cancel()).status == 202
        ids = await projected(job)
        message = await snapshot
        assert message is not None
        assert (message.id, message.data["status"]) == (ids[-1], "canceled")
        assert await stream.rest() == []


async def test_events_behind_a_hole_wait_until_it_is_filled(job: Running) -> None:
    await projected(job)
    async with asyncio.timeout(WITHIN), streaming(job.caller, job.job_id) as stream:
        await opened(stream)
        await job.complete()
        ids = await projected(job, without=3)
        before = await stream.next()
        assert before is not None
        assert before.id == ids[1]
        behind = asyncio.create_task(stream.rest())
        await asyncio.wait([behind], timeout=0.2)
        assert len(stream.seen) == 2
        await projected(job)
        assert [message.id for message in await behind] == ids[2:]


async def skipped(job: Running, stream_id: str, after: int) -> None:
    """What `influencerctl quarantine skip` leaves behind, and says."""
    await job.service.pool.execute(
        "insert into control.skipped_records (topic, partition, record_offset, stream_key,"
        " sequence_after, fault, reason, skipped_by, headers)"
        " values ('test', 0, (random() * 1e9)::bigint, $1, $2, 'ill', 'a test', 'ann', '[]')",
        f"{job.caller.organization_id}/{stream_id}",
        after,
    )
    await job.service.pool.execute("select pg_notify($1, '')", READ_MODEL_CHANNEL)


async def test_events_behind_a_record_that_was_skipped_are_told(job: Running) -> None:
    await projected(job)
    async with asyncio.timeout(WITHIN), streaming(job.caller, job.job_id) as stream:
        await opened(stream)
        await job.complete()
        ids = await projected(job, without=3)
        behind = asyncio.create_task(stream.rest())
        await until_waiting(job.service, 1)
        await skipped(job, job.influencer_id, 3)
        assert [message.id for message in await behind] == [ids[1], *ids[3:]]
    async with asyncio.timeout(WITHIN), streaming(job.caller, job.job_id, after=ids[0]) as again:
        assert [message.id for message in await again.rest()] == [ids[1], *ids[3:]]


async def test_a_stream_whose_last_event_was_skipped_ends(job: Running) -> None:
    [first] = await projected(job)
    async with asyncio.timeout(WITHIN), streaming(job.caller, job.job_id) as stream:
        assert await opened(stream) == first
        assert (await job.cancel()).status == 202
        await skipped(job, job.influencer_id, 2)
        assert await stream.rest() == []
    async with asyncio.timeout(WITHIN), streaming(job.caller, job.job_id) as stream:
        assert await opened(stream) == first
        assert stream.seen[0].data["status"] == "canceled"
        assert await stream.rest() == []
    answer = await job.caller.get(f"/v1/jobs/{job.job_id}/events", Last_Event_ID=first)
    assert answer.status == 204


async def test_a_stream_opens_behind_a_skip_that_left_the_job_running(job: Running) -> None:
    """A content job's own row carries the sequence that the skip has set its stream to."""
    answer = await asked(job.caller, job.influencer_id)
    job_id = answer.json["jobId"]
    _, stream_id, _ = await stream_of(job.caller, job.service, job_id)
    [first] = await project(job.caller, job.service, stream_id)
    await job.service.pool.execute(
        "update read_model.jobs set sequence = 2,"
        " state = state || '{\"sequence\": 2}' where job_id = $1",
        job_id,
    )
    await skipped(job, stream_id, 2)
    async with asyncio.timeout(WITHIN), streaming(job.caller, job_id) as stream:
        assert await opened(stream) == first
        assert stream.seen[0].data["status"] == "running"


async def test_what_is_not_an_event_of_the_influencer_is_invalid(
    job: Running, caller: Caller, service: Service
) -> None:
    other = await Running.started(caller, service)
    [foreign] = await project(caller, service, other.influencer_id)
    for wrong in ("x", "evt_", foreign, "evt_01HXZ9G7KMV2QX8Y1S5RJW3B7T"):
        answer = await job.caller.get(f"/v1/jobs/{job.job_id}/events?after={wrong}")
        assert list(answer.field_errors) == ["after"]
        answer = await job.caller.get(f"/v1/jobs/{job.job_id}/events", Last_Event_ID=wrong)
        assert list(answer.field_errors) == ["after"]


async def test_a_stream_needs_the_scope_and_the_job(job: Running, new: NewCaller) -> None:
    path = f"/v1/jobs/{job.job_id}/events"
    stranger = (await new()).at(job.service)
    assert (await stranger.get(path)).code == "NOT_FOUND"
    assert (await job.caller.get("/v1/jobs/nothing/events")).code == "NOT_FOUND"
    unscoped = (await new("influencers:read")).at(job.service)
    assert (await unscoped.get(path)).code == "FORBIDDEN_SCOPE"
    assert (await job.caller.send("HEAD", path)).status == 200


async def test_a_key_that_is_revoked_gets_no_further_event(
    job: Running, http: aiohttp.ClientSession, own: Service
) -> None:
    caller = await new_caller(
        http,
        own,
        organization_id=job.caller.organization_id,
        project_id=job.caller.project_id,
    )
    await projected(job)
    async with asyncio.timeout(WITHIN), streaming(caller, job.job_id) as stream:
        await opened(stream)
        await own.pool.execute(
            "update control.api_keys set revoked_at = now() where key_id = $1", caller.key_id
        )

        async def refused() -> bool:
            return (await caller.get("/v1/whoami")).status == 401

        await eventually("the key is refused", refused)
        await job.train()
        await projected(job)
        assert await stream.rest() == []


async def test_comments_keep_a_quiet_stream_alive(
    job: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.api.open_stream.COMMENT_INTERVAL", 0.05)
    await projected(job)
    async with asyncio.timeout(WITHIN), streaming(job.caller, job.job_id) as stream:
        await opened(stream)
        for _ in range(2):
            assert (await stream.response.content.readline()).startswith(b":")
            assert await stream.response.content.readline() == b"\n"
        await job.cancel()
        await projected(job)
        assert [message.event for message in await stream.rest()] == ["JobCanceled"]


async def test_a_client_that_leaves_frees_its_stream_at_once(job: Running) -> None:
    await projected(job)
    async with asyncio.timeout(WITHIN), streaming(job.caller, job.job_id) as stream:
        await opened(stream)
        await until_waiting(job.service, 1)
        stream.response.close()
        await until_waiting(job.service, 0)
    assert not job.service.changes.watched


async def test_everyone_who_watches_a_job_hears_of_it_for_one_read(
    job: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0

    async def counted(*arguments: Any) -> list[asyncpg.Record]:
        nonlocal reads
        reads += 1
        return await list_events_after(*arguments)

    await projected(job)

    async def watch() -> list[str | None]:
        async with streaming(job.caller, job.job_id) as stream:
            await opened(stream)
            return [message.event for message in await stream.rest()]

    async with asyncio.timeout(WITHIN):
        watchers = [asyncio.create_task(watch()) for _ in range(50)]
        await until_waiting(job.service, 50)
        monkeypatch.setattr("services.api.event_stream.list_events_after", counted)
        assert (await job.cancel()).status == 202
        await projected(job)
        for events in await asyncio.gather(*watchers):
            assert events == ["JobCanceled"]
    assert reads < 10


async def test_a_client_that_takes_nothing_is_cut_off(
    job: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.api.open_stream.WRITE_TIMEOUT", 0.2)
    monkeypatch.setattr("services.api.open_stream.COMMENT_INTERVAL", 0.01)
    monkeypatch.setattr("services.api.open_stream.COMMENT", b":" * 1_000_000 + b"\n\n")
    await projected(job)
    reader, writer = await asyncio.open_connection("127.0.0.1", job.service.port)
    reader._transport.pause_reading()  # type: ignore[attr-defined]
    writer.write(
        f"GET /v1/jobs/{job.job_id}/events HTTP/1.1\r\nHost: test\r\n"
        f"X-Api-Key: {job.caller.key}\r\n\r\n".encode()
    )
    async with asyncio.timeout(WITHIN):
        await until_waiting(job.service, 1)
        await until_waiting(job.service, 0)
    writer.transport.abort()


async def test_a_stop_ends_streams_at_once_and_they_resume_elsewhere(
    caller: Caller, service: Service, shared_database_url: str
) -> None:
    job = await Running.started(caller, service)
    await projected(job)
    async with asyncio.timeout(4):
        async with serving(shared_database_url, store=service.store) as stopping:
            stream = streaming(caller.at(stopping), job.job_id)
            reader = await stream.__aenter__()
            last = await opened(reader)
            held = asyncio.create_task(
                caller.at(stopping).get(f"/v1/jobs/{job.job_id}", Prefer="wait=60")
            )
            await until_waiting(stopping, 2)
        assert await reader.rest() == []
        assert (await held).json["status"] == "running"
    await job.cancel()
    await projected(job)
    async with streaming(caller, job.job_id, Last_Event_ID=last) as resumed:
        assert [message.event for message in await resumed.rest()] == ["JobCanceled"]


async def test_a_stream_outlives_a_restart_of_its_listener(job: Running) -> None:
    await projected(job)
    async with asyncio.timeout(WITHIN), streaming(job.caller, job.job_id) as stream:
        await opened(stream)
        await job.service.pool.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and query like $1",
            f"LISTEN%{READ_MODEL_CHANNEL}%",
        )
        await job.cancel()
        await projected(job)
        assert [message.event for message in await stream.rest()] == ["JobCanceled"]
