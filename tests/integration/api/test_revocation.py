"""A key that is revoked while its requests wait: within a second none of them waits any more, on
any replica, and none is told anything."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from services.core.controlplane import revoke_key
from services.core.postgres import acquire
from tests.integration.api.calling import Answer, Caller, new_caller
from tests.integration.api.following import following
from tests.integration.api.serving import Service, serving
from tests.integration.api.streaming import project, streaming, until_waiting
from tests.integration.api.test_jobs import Running

IN_FORCE_WITHIN = 1.0


@pytest.fixture
async def replicas(shared_database_url: str, service: Service) -> AsyncIterator[list[Service]]:
    """Two, on which nobody else waits."""
    async with AsyncExitStack() as running:
        yield [
            await running.enter_async_context(serving(shared_database_url, store=service.store))
            for _ in range(2)
        ]


@pytest.fixture
async def job(caller: Caller, replicas: list[Service]) -> Running:
    return await Running.started(caller.at(replicas[0]), replicas[0])


@pytest.fixture
async def guest(job: Running, replicas: list[Service]) -> Caller:
    """With another key of the same organization, that will be revoked."""
    return await new_caller(
        job.caller.http,
        replicas[0],
        organization_id=job.caller.organization_id,
        project_id=job.caller.project_id,
    )


def waiting_reads(guest: Caller, job: Running, cursor: str) -> list[asyncio.Task[Answer]]:
    """Long polls, one of each kind."""
    influencer = f"/v1/influencers/{job.influencer_id}"
    return [
        asyncio.create_task(guest.get(path, Prefer="wait=60"))
        for path in (f"/v1/jobs/{job.job_id}", influencer, f"/v1/events?after={cursor}")
    ] + [asyncio.create_task(guest.get(f"{influencer}?minSequence=99"))]


async def revoke(guest: Caller, service: Service) -> None:
    async with acquire(service.pool) as connection:
        await revoke_key(connection, guest.key_id)


async def test_reads_that_wait_are_refused(
    guest: Caller, job: Running, replicas: list[Service]
) -> None:
    cursor = (await guest.get("/v1/events?after=latest")).json["nextCursor"]
    reads = []
    for replica in replicas:
        before = replica.changes.waiting
        reads += waiting_reads(guest.at(replica), job, cursor)
        await until_waiting(replica, before + 4)
    others = asyncio.create_task(job.caller.get(f"/v1/jobs/{job.job_id}", Prefer="wait=60"))
    await until_waiting(replicas[0], 5)
    await revoke(guest, replicas[1])
    async with asyncio.timeout(IN_FORCE_WITHIN):
        answers = await asyncio.gather(*reads)
    assert [answer.code for answer in answers] == ["UNAUTHENTICATED"] * 8
    assert [replica.changes.waiting for replica in replicas] == [1, 0]
    await job.cancel()
    assert (await others).json["status"] == "canceled"


async def test_a_read_that_is_woken_by_a_change_asks_for_its_key_again(
    guest: Caller, job: Running, replicas: list[Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.api.revocations.INTERVAL", 3600)
    monkeypatch.setattr("services.api.authentication.CACHED_FOR", 0.0)
    await asyncio.gather(*(guest.at(replica).get("/v1/whoami") for replica in replicas))
    cursor = (await guest.get("/v1/events?after=latest")).json["nextCursor"]
    reads = waiting_reads(guest.at(replicas[0]), job, cursor)[:2]
    await until_waiting(replicas[0], 4)
    await revoke(guest, replicas[0])
    await job.cancel()
    async with asyncio.timeout(IN_FORCE_WITHIN):
        answers = await asyncio.gather(*reads)
    assert [answer.code for answer in answers] == ["UNAUTHENTICATED"] * 2


async def test_streams_end(guest: Caller, job: Running, replicas: list[Service]) -> None:
    await project(job.caller, job.service, job.influencer_id)
    async with AsyncExitStack() as open_streams:
        streams = []
        for replica in replicas:
            at = guest.at(replica)
            of_job = await open_streams.enter_async_context(streaming(at, job.job_id))
            assert await of_job.next()
            streams += [of_job, await open_streams.enter_async_context(following(at))]
            await until_waiting(replica, 2)
        await revoke(guest, replicas[1])
        async with asyncio.timeout(IN_FORCE_WITHIN):
            await asyncio.gather(*(stream.rest() for stream in streams))


async def test_a_snapshot_that_waits_for_the_history_is_not_told(
    guest: Caller, job: Running, replicas: list[Service]
) -> None:
    """The history has nothing of the job yet, so its stream hasn't begun."""
    async with streaming(guest.at(replicas[1]), job.job_id) as stream:
        await until_waiting(replicas[1], 1)
        await revoke(guest, replicas[0])
        async with asyncio.timeout(IN_FORCE_WITHIN):
            assert await stream.rest() == []


async def test_a_key_that_expires_is_as_good_as_revoked(
    guest: Caller, job: Running, replicas: list[Service]
) -> None:
    read = asyncio.create_task(
        guest.at(replicas[1]).get(f"/v1/jobs/{job.job_id}", Prefer="wait=60")
    )
    await until_waiting(replicas[1], 1)
    async with acquire(replicas[0].pool) as connection:
        await connection.execute(
            "update control.api_keys set expires_at = now() where key_id = $1", guest.key_id
        )
    async with asyncio.timeout(IN_FORCE_WITHIN):
        assert (await read).code == "UNAUTHENTICATED"
