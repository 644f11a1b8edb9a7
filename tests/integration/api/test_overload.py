"""An api with more to do than it may: who is told to come back, and what is no load at all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from services.api.load_limit import LoadLimit, LoadLimits, Seat
from tests.integration.api.calling import Answer, Caller
from tests.integration.api.conftest import NewCaller
from tests.integration.api.following import following
from tests.integration.api.serving import Service, load_limits, serving
from tests.integration.api.streaming import streaming, until_waiting
from tests.integration.api.test_jobs import Running
from tests.waiting import eventually

SEATS = 5
OF_ONE = 4


@pytest.fixture
def load() -> LoadLimits:
    return load_limits(reads=SEATS, writes=SEATS, patience=0.2)


@pytest.fixture
async def own(
    shared_database_url: str, service: Service, load: LoadLimits
) -> AsyncIterator[Service]:
    async with serving(shared_database_url, store=service.store, load=load) as running:
        yield running


@pytest.fixture
async def caller(caller: Caller, own: Service) -> Caller:
    return caller.at(own)


@asynccontextmanager
async def busy_with(limit: LoadLimit, caller: Caller) -> AsyncIterator[None]:
    """As many requests of the organization as may be are worked on."""
    seats = [Seat(limit, caller.organization_id) for _ in range(OF_ONE)]
    for seat in seats:
        await seat.take()
    yield
    for seat in seats:
        seat.leave()


def require_shed(answer: Answer) -> None:
    assert (answer.status, answer.code) == (503, "UNAVAILABLE")
    assert int(answer.headers["Retry-After"]) >= 1


async def test_who_finds_no_seat_in_time_is_told_to_come_back(
    caller: Caller, load: LoadLimits
) -> None:
    async with busy_with(load.writes, caller):
        require_shed(await caller.post(caller.influencers, {"name": "Ava"}))
    assert (await caller.post(caller.influencers, {"name": "Ava"})).status == 202


async def test_it_is_told_before_the_path_and_the_body_are_looked_at(
    caller: Caller, load: LoadLimits
) -> None:
    never = asyncio.Event()

    async def stalls() -> AsyncIterator[bytes]:
        yield b"{"
        await never.wait()

    async with busy_with(load.writes, caller), asyncio.timeout(5):
        require_shed(await caller.post("/v1/projects/nonsense/influencers", stalls()))


async def test_it_costs_nothing_of_a_rate_limit(
    new: NewCaller, own: Service, load: LoadLimits
) -> None:
    caller = (await new(tier="partner")).at(own)
    before = (await caller.create(), await caller.post(f"{caller.influencers}?draft=true", {}))[1]
    async with busy_with(load.writes, caller):
        shed = await caller.post(caller.influencers, {"name": "Ava"})
    require_shed(shed)
    assert shed.headers["X-RateLimit-Remaining"] == before.headers["X-RateLimit-Remaining"]


async def test_reads_and_writes_and_other_organizations_are_not_held_up(
    caller: Caller, new: NewCaller, own: Service, load: LoadLimits
) -> None:
    other = (await new()).at(own)
    async with busy_with(load.writes, caller), asyncio.timeout(5):
        assert (await caller.get("/v1/projects")).status == 200
        assert (await other.post(other.influencers, {"name": "Ava"})).status == 202
    async with busy_with(load.reads, caller), asyncio.timeout(5):
        assert (await caller.post(caller.influencers, {"name": "Ava"})).status == 202
        assert (await other.get("/v1/projects")).status == 200


async def test_who_waits_on_purpose_has_no_seat(
    caller: Caller, own: Service, load: LoadLimits
) -> None:
    job = await Running.started(caller, own)
    path = f"/v1/jobs/{job.job_id}"
    reads = [asyncio.create_task(caller.get(path, Prefer="wait=30")) for _ in range(2 * SEATS)]
    await until_waiting(own, 2 * SEATS)
    async with following(caller), streaming(caller, job.job_id):
        await until_waiting(own, 2 * SEATS + 2)
        assert load.reads.taken == 0
        assert (await caller.get(path)).status == 200
    await job.cancel()
    assert {answer.status for answer in await asyncio.gather(*reads)} == {200}


async def test_a_body_that_stalls_has_no_seat(caller: Caller, load: LoadLimits) -> None:
    goes_on, begun = asyncio.Event(), 0

    async def stalls() -> AsyncIterator[bytes]:
        nonlocal begun
        begun += 1
        yield b'{"name": '
        await goes_on.wait()
        yield b'"Ava"}'

    sent = [
        asyncio.create_task(caller.post(caller.influencers, stalls())) for _ in range(2 * SEATS)
    ]

    async def all_wait() -> bool:
        return begun == 2 * SEATS and load.writes.taken == 0

    await eventually("all bodies stall", all_wait)
    assert (await caller.post(caller.influencers, {"name": "Bea"})).status == 202
    goes_on.set()
    assert {answer.status for answer in await asyncio.gather(*sent)} == {202}
