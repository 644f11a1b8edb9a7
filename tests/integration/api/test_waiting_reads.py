"""`Prefer: wait=N` on a job and on an influencer: held until there is something to tell."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.core.domain.commands import UpdateInfluencer
from tests.integration.api.calling import Answer, Caller
from tests.integration.api.gate import Gate
from tests.integration.api.serving import HOST, Service, serving
from tests.integration.api.streaming import until_waiting
from tests.integration.api.test_jobs import Running


@pytest.fixture
async def own(shared_database_url: str, service: Service) -> AsyncIterator[Service]:
    """An api in which nobody else waits."""
    async with serving(shared_database_url, store=service.store) as running:
        yield running


@pytest.fixture
async def job(caller: Caller, own: Service) -> Running:
    return await Running.started(caller.at(own), own)


def paths(job: Running) -> list[str]:
    return [f"/v1/jobs/{job.job_id}", f"/v1/influencers/{job.influencer_id}"]


async def held(
    job: Running, path: str, *, seconds: int = 30, etag: str | None = None
) -> asyncio.Task[Answer]:
    """A read that is waiting now."""
    headers = {"If_None_Match": etag} if etag else {}
    before = job.service.changes.waiting
    read = asyncio.create_task(job.caller.get(path, Prefer=f"wait={seconds}", **headers))
    await until_waiting(job.service, before + 1)
    return read


async def test_a_read_is_held_until_the_record_differs_from_its_etag(job: Running) -> None:
    etags = [(await job.caller.get(path)).headers["ETag"] for path in paths(job)]
    reads = [await held(job, path, etag=etag) for path, etag in zip(paths(job), etags, strict=True)]
    await job.train()
    async with asyncio.timeout(5):
        for answer, etag in zip(await asyncio.gather(*reads), etags, strict=True):
            assert answer.status == 200
            assert answer.headers["ETag"] != etag
            assert answer.headers["Preference-Applied"] == "wait=30"
            assert answer.headers["Vary"] == "X-Api-Key, Authorization"
            assert answer.headers["Cache-Control"] == "private, no-cache"
            assert answer.json["sequence"] == 2


async def test_a_record_that_does_not_change_in_time_is_not_modified(job: Running) -> None:
    for path in paths(job):
        etag = (await job.caller.get(path)).headers["ETag"]
        answer = await (await held(job, path, seconds=1, etag=etag))
        assert (answer.status, answer.body) == (304, b"")
        assert answer.headers["Preference-Applied"] == "wait=1"
        assert answer.headers["ETag"] == etag
    assert not job.service.changes.watched


async def test_a_record_that_differs_already_is_answered_at_once(job: Running) -> None:
    await job.train()
    async with asyncio.timeout(5):
        for path in paths(job):
            answer = await job.caller.get(path, Prefer="wait=60", If_None_Match='"1"')
            assert (answer.status, answer.headers["Preference-Applied"]) == (200, "wait=60")


async def test_without_an_etag_a_read_is_held_until_the_end(job: Running) -> None:
    reads = [await held(job, path) for path in paths(job)]
    await job.finalize()
    await until_waiting(job.service, 2)
    assert not any(read.done() for read in reads)
    await job.end()
    async with asyncio.timeout(5):
        statuses = [answer.json["status"] for answer in await asyncio.gather(*reads)]
        assert statuses == ["completed", "ready"]
        for path, status in zip(paths(job), statuses, strict=True):
            assert (await job.caller.get(path, Prefer="wait=60")).json["status"] == status


async def test_what_does_not_end_in_time_is_answered_as_it_is(job: Running) -> None:
    for path in paths(job):
        answer = await (await held(job, path, seconds=1))
        assert (answer.status, answer.json["sequence"]) == (200, 1)
        assert answer.headers["Preference-Applied"] == "wait=1"


@pytest.mark.parametrize(
    "preference",
    ["wait=0", "wait=61", "wait=-1", "wait=1.5", "wait", "wait=x", "respond-async", "awaits=5"],
)
async def test_other_preferences_are_ignored(job: Running, preference: str) -> None:
    async with asyncio.timeout(5):
        for path in paths(job):
            answer = await job.caller.get(path, Prefer=preference)
            assert answer.status == 200
            assert "Preference-Applied" not in answer.headers


@pytest.mark.parametrize(
    "preference", ["respond-async, wait=1", 'WAIT="1"', "wait = 1; foo", "wait=1, wait=50"]
)
async def test_the_preference_is_found_however_it_is_spelled(job: Running, preference: str) -> None:
    answer = await job.caller.get(paths(job)[0], Prefer=preference)
    assert answer.headers["Preference-Applied"] == "wait=1"


async def test_a_held_influencer_that_is_deleted_is_not_there(job: Running) -> None:
    read = await held(job, paths(job)[1])
    assert (await job.caller.send("DELETE", paths(job)[1])).status == 200
    assert (await read).code == "NOT_FOUND"


async def test_another_replicas_append_is_heard(
    job: Running, caller: Caller, replica: Service
) -> None:
    read = await held(job, paths(job)[0])
    path = f"/v1/jobs/{job.job_id}/cancel"
    assert (await caller.at(replica).post(path)).status == 202
    async with asyncio.timeout(5):
        assert (await read).json["status"] == "canceled"


async def test_an_event_that_leaves_the_job_alone_wakes_nobody_who_waits_for_the_job(
    job: Running,
) -> None:
    read = await held(job, paths(job)[0], etag='"1"')
    influencer = await held(job, paths(job)[1], etag='"1"')
    update = UpdateInfluencer(job.stream[0], job.influencer_id, changes={"vibe": "calm"})
    await job.append(update)
    assert (await influencer).json["vibe"] == "calm"
    assert not read.done()
    await job.cancel()
    assert (await read).json["status"] == "canceled"


async def test_a_client_that_leaves_is_waited_for_no_longer(job: Running) -> None:
    _, writer = await asyncio.open_connection(HOST, job.service.port)
    writer.write(
        f"GET {paths(job)[0]} HTTP/1.1\r\nHost: test\r\nPrefer: wait=60\r\n"
        f"X-Api-Key: {job.caller.key}\r\n\r\n".encode()
    )
    await until_waiting(job.service, 1)
    writer.transport.abort()
    await until_waiting(job.service, 0)
    assert not job.service.changes.watched


async def test_many_who_wait_are_woken_by_their_own_change_alone(
    job: Running, caller: Caller
) -> None:
    others = [await Running.started(job.caller, job.service) for _ in range(20)]
    reads = [await held(other, f"/v1/jobs/{other.job_id}") for other in others]
    await others[7].cancel()
    done, waiting = await asyncio.wait(reads, return_when=asyncio.FIRST_COMPLETED)
    assert done == {reads[7]}
    assert len(waiting) == job.service.changes.waiting == 19
    await asyncio.gather(*(other.cancel() for other in others))
    for answer in await asyncio.gather(*reads):
        assert answer.json["status"] == "canceled"


async def test_a_change_is_heard_after_postgres_was_away(
    caller: Caller, service: Service, shared_database_url: str
) -> None:
    job = await Running.started(caller, service)
    async with Gate.to(shared_database_url) as gate, serving(gate.database_url) as behind:
        waiting = Running(caller.at(behind), behind, {**job.created})
        read = await held(waiting, paths(job)[0])
        await gate.close()
        await job.cancel()
        await gate.open()
        async with asyncio.timeout(15):
            assert (await read).json["status"] == "canceled"


async def test_no_request_hangs_when_postgres_says_nothing(
    caller: Caller, service: Service, shared_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await Running.started(caller, service)
    monkeypatch.setattr("services.core.postgres.COMMAND_TIMEOUT", 0.3)
    monkeypatch.setattr("services.core.postgres.ACQUIRE_TIMEOUT", 0.3)
    async with Gate.to(shared_database_url) as gate, serving(gate.database_url) as behind:
        silent = caller.at(behind)
        reads = [*paths(job), f"/v1/jobs/{job.job_id}/events", caller.influencers, "/v1/jobs"]
        assert (await silent.get(reads[0])).status == 200
        await gate.silence()
        async with asyncio.timeout(10):
            requests = [silent.get(path, Prefer="wait=60") for path in reads]
            answers = await asyncio.gather(*requests, silent.post(caller.influencers, {}))
        assert {(answer.status, answer.code) for answer in answers} == {(503, "UNAVAILABLE")}
        await gate.open()


async def test_more_than_a_process_can_hold_are_sent_away(
    job: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = await held(job, paths(job)[0])
    monkeypatch.setattr("services.api.changes.MAXIMUM_WAITING", 1)
    answer = await job.caller.get(paths(job)[0], Prefer="wait=60")
    assert (answer.status, answer.code) == (503, "UNAVAILABLE")
    await job.cancel()
    assert (await read).json["status"] == "canceled"
