"""How many jobs an organization may have running: exact over replicas, and never in the way."""

import asyncio
from collections import Counter

import pytest

from schemas.ids import Prefix
from services.api.jobs_at_once import NEAR, JobsAtOnce
from services.core.controlplane import Tier, find_key
from services.core.postgres import acquire, open_pool
from tests.integration.api.calling import PROBLEM, Answer, Caller, new_caller
from tests.integration.api.conftest import NewCaller
from tests.integration.api.gate import Gate
from tests.integration.api.serving import Service
from tests.integration.eventlog.conftest import IDS

LIMIT = 20
LARGE_LIMIT = 1_000
"""Of the partner tier."""


@pytest.fixture
async def caller(new: NewCaller) -> Caller:
    """Of the standard tier."""
    return await new(tier="standard")


async def colleague(caller: Caller, service: Service, tier: Tier = "standard") -> Caller:
    """Another key of the organization, whose rate limits are its own."""
    return await new_caller(
        caller.http,
        service,
        organization_id=caller.organization_id,
        project_id=caller.project_id,
        tier=tier,
    )


async def run_jobs(caller: Caller, service: Service, count: int) -> None:
    """Rows of running jobs, as the renderer's organization would have them."""
    await service.pool.executemany(
        "insert into read_model.jobs (job_id, organization_id, project_id, influencer_id,"
        " stream_id, kind, status, sequence, created_at, state)"
        " values ($1, $2, $3, $4, $4, 'influencer_create', 'running', 1, now(), '{}')",
        [
            (IDS.new(Prefix.JOB), caller.organization_id, caller.project_id, "inf")
            for _ in range(count)
        ],
    )


def require_too_many(answer: Answer) -> None:
    assert (answer.status, answer.code) == (429, "RATE_LIMITED")
    assert answer.details == {"limit": "concurrentJobs"}
    assert int(answer.headers["Retry-After"]) >= 1
    assert int(answer.headers["X-RateLimit-Remaining"]) > 0


def starters(caller: Caller, influencer_id: str) -> dict[str, tuple[str, dict[str, str]]]:
    """Path and body of all that starts a job."""
    return {
        "create": (caller.influencers, {"name": "Ava"}),
        "render": (f"/v1/influencers/{influencer_id}/render", {}),
        "clone": (f"/v1/influencers/{influencer_id}/clone", {"name": "Bea"}),
        "content": (
            f"/v1/projects/{caller.project_id}/content",
            {"influencerId": influencer_id, "brief": "Good morning"},
        ),
    }


@pytest.mark.parametrize(
    ("name", "query"),
    [
        *((name, "") for name in ("create", "render", "clone", "content")),
        *((name, "?draft=true") for name in ("render", "clone", "content")),
        *((name, "?draft") for name in ("create", "render", "clone", "content")),
        ("create", "?draft=false"),
        ("create", "?draft=true&draft=true"),
    ],
)
async def test_over_the_limit_nothing_starts_whatever_starts_it(
    caller: Caller, service: Service, name: str, query: str
) -> None:
    draft = await caller.post(f"{caller.influencers}?draft=true", {"name": "Ava"})
    influencer_id = draft.json["influencerId"]
    await run_jobs(caller, service, LIMIT)
    path, body = starters(caller, influencer_id)[name]
    require_too_many(await caller.post(path + query, body))
    assert (await caller.get(f"/v1/influencers/{influencer_id}")).json["status"] == "draft"
    [row] = await service.pool.fetch(
        "select count(*) from read_model.jobs where organization_id = $1", caller.organization_id
    )
    assert row["count"] == LIMIT


@pytest.mark.parametrize(
    ("tier", "limit"), [("standard", 20), ("pilot", 100), ("partner", 1_000), ("internal", None)]
)
async def test_each_tier_has_its_limit(
    caller: Caller, service: Service, tier: Tier, limit: int | None
) -> None:
    at = await colleague(caller, service, tier)
    await run_jobs(caller, service, limit - 1 if limit else 1_100)
    assert (await at.post(at.influencers, {"name": "Ava"})).status == 202
    answer = await at.post(at.influencers, {"name": "Bea"})
    if limit is None:
        assert answer.status == 202
    else:
        require_too_many(answer)
        assert str(limit) in answer.json["error"]["message"]


async def test_it_comes_before_the_path_and_the_body_are_looked_at(
    caller: Caller, service: Service
) -> None:
    await run_jobs(caller, service, LIMIT)
    for path in (caller.influencers, "/v1/projects/nonsense/influencers"):
        require_too_many(
            await caller.send("POST", path, b"{", headers={"Content-Type": "text/plain"})
        )


async def test_it_is_told_as_a_problem_too(caller: Caller, service: Service) -> None:
    await run_jobs(caller, service, LIMIT)
    answer = await caller.post(caller.influencers, {"name": "Ava"}, Accept=PROBLEM)
    assert answer.json["details"] == {"limit": "concurrentJobs"}
    assert answer.headers["Retry-After"]


async def test_reads_drafts_and_cancels_are_not_in_the_way(
    caller: Caller, service: Service
) -> None:
    job = (await caller.create())["jobId"]
    await run_jobs(caller, service, LIMIT - 1)
    require_too_many(await caller.post(caller.influencers, {"name": "Ava"}))
    draft = await caller.post(f"{caller.influencers}?draft=true", {"name": "Ava"})
    assert draft.status == 201
    assert (await caller.get(f"/v1/jobs/{job}")).status == 200
    assert (await caller.post(f"/v1/jobs/{job}/cancel")).status == 202
    assert (await caller.post(caller.influencers, {"name": "Ava"})).status == 202


async def test_what_was_done_before_is_answered_again_at_the_limit(
    caller: Caller, service: Service
) -> None:
    body = {"name": "Ava"}
    first = await caller.post(caller.influencers, body, Idempotency_Key="once")
    await run_jobs(caller, service, LIMIT - 1)
    again = await caller.post(caller.influencers, body, Idempotency_Key="once")
    assert (again.status, again.body) == (202, first.body)
    assert again.headers["Idempotent-Replayed"] == "true"
    require_too_many(await caller.post(caller.influencers, body, Idempotency_Key="twice"))


async def test_another_organization_is_not_counted(
    caller: Caller, service: Service, new: NewCaller
) -> None:
    await run_jobs(caller, service, LIMIT)
    assert (await (await new(tier="standard")).create())["jobId"]


@pytest.mark.parametrize("running", [0, LIMIT - 3])
async def test_exactly_the_limit_is_started_by_many_at_once_over_two_replicas(
    caller: Caller, service: Service, replica: Service, running: int
) -> None:
    await run_jobs(caller, service, running)
    keys = [await colleague(caller, service) for _ in range(4)]
    places = [key.at(at) for key in keys for at in (service, replica)]
    answers = await asyncio.gather(
        *(place.post(place.influencers, {"name": "Ava"}) for place in places for _ in range(8))
    )
    assert Counter(answer.status for answer in answers) == {
        202: LIMIT - running,
        429: len(answers) - (LIMIT - running),
    }
    for answer in answers:
        if answer.status == 429:
            require_too_many(answer)


async def test_exactly_the_limit_is_started_near_a_large_one_over_two_replicas(
    caller: Caller, service: Service, replica: Service
) -> None:
    await run_jobs(caller, service, LARGE_LIMIT - 10)
    partner = await colleague(caller, service, "partner")
    answers = await asyncio.gather(
        *(
            place.post(place.influencers, {"name": "Ava"})
            for place in (partner, partner.at(replica))
            for _ in range(20)
        )
    )
    assert Counter(answer.status for answer in answers) == {202: 10, 429: 30}


async def test_far_below_the_limit_room_needs_no_postgres(
    caller: Caller, service: Service, shared_database_url: str
) -> None:
    partner = await colleague(caller, service, "partner")
    async with acquire(service.pool) as connection:
        key = await find_key(connection, partner.key_id)
    assert key
    async with Gate.to(shared_database_url) as gate:
        pool = await open_pool(gate.database_url, size=1, application="test")
        jobs = JobsAtOnce(pool)
        await jobs.require_room(key, lambda: None)
        await gate.close()
        assert {jobs.at_most(key) for _ in range(LARGE_LIMIT - NEAR)} == {None}
        assert jobs.at_most(key) == LARGE_LIMIT
        pool.terminate()
