"""The list of jobs: filters, pages, and what they cost."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any
from uuid import uuid4

import orjson
import pytest
from asyncpg import Record
from asyncpg.pool import PoolConnectionProxy

from services.api.job_pages import KINDS, STATUSES, JobFilter, statement_of
from services.core.domain.commands import CancelJob
from services.core.postgres import Pool
from tests.integration.api.calling import Caller
from tests.integration.api.conftest import NewCaller
from tests.integration.api.scenes import Scene
from tests.integration.api.serving import Service
from tests.integration.api.test_pagination import pages

JOBS = "/v1/jobs"


async def ids(caller: Caller, query: str = "") -> list[str]:
    answer = await caller.get(f"{JOBS}?{query}")
    assert answer.status == 200, answer
    return [item["jobId"] for item in answer.json["items"]]


async def test_an_item_is_the_jobs_record(caller: Caller, service: Service) -> None:
    scene = await Scene.ready(caller, service)
    job = (await caller.get(f"/v1/jobs/{scene.job_id}")).json
    answer = await caller.get(JOBS)
    assert answer.json == {"items": [job], "nextCursor": None}
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.headers["Vary"] == "X-Api-Key, Authorization"


async def test_every_filter_alone_and_with_the_others(
    caller: Caller, service: Service, new: NewCaller
) -> None:
    sister = await new(organization_id=caller.organization_id)
    ready = await Scene.ready(caller, service)
    clone = (await caller.post(f"{ready.path}/clone", {"name": "Bea"})).json["jobId"]
    render = (await caller.post(f"{ready.path}/render")).json["jobId"]
    other = await Scene.started(sister, service)
    canceled = CancelJob(caller.organization_id, other.influencer_id, other.job_id, "key_x")
    await service.append(canceled)
    here, there = f"projectId={caller.project_id}", f"projectId={sister.project_id.upper()}"
    influencer = f"influencerId={ready.influencer_id.lower()}"
    for query, wanted in {
        "": [other.job_id, render, clone, ready.job_id],
        here: [render, clone, ready.job_id],
        there: [other.job_id],
        influencer: [render, ready.job_id],
        "kind=influencer_clone": [clone],
        "kind=content_generate": [],
        "status=running": [render, clone],
        "status=canceled": [other.job_id],
        f"{here}&status=running": [render, clone],
        f"{here}&kind=influencer_create": [ready.job_id],
        f"{there}&kind=influencer_create&status=completed": [],
        f"{influencer}&status=running": [render],
        f"{influencer}&kind=influencer_create": [ready.job_id],
        f"{influencer}&{here}": [render, ready.job_id],
        f"{influencer}&{there}": [],
        "kind=influencer_create&status=completed": [ready.job_id],
    }.items():
        assert sorted(await ids(caller, query)) == sorted(wanted), query


async def test_jobs_of_other_organizations_are_not_there(caller: Caller, new: NewCaller) -> None:
    created, stranger = await caller.create(), await new()
    own = (await stranger.create())["jobId"]
    assert await ids(stranger) == [own]
    for query in (
        f"projectId={caller.project_id}",
        f"influencerId={created['influencerId']}",
        f"projectId={uuid4()}",
        f"influencerId={uuid4()}",
    ):
        assert await ids(stranger, query) == [], query


async def test_all_bad_values_are_told_at_once(caller: Caller) -> None:
    query = "projectId=x&influencerId=job_1&kind=render&status=done&limit=0&cursor=x"
    answer = await caller.get(f"{JOBS}?{query}")
    names = {"projectId", "influencerId", "kind", "status", "limit", "cursor"}
    assert set(answer.field_errors) == names
    for name in names:
        for wrong in ("", "%00", "%E2%98%83"):
            answer = await caller.get(f"{JOBS}?{name}={wrong}")
            assert list(answer.field_errors) == [name]


@pytest.mark.parametrize("of_project", [False, True])
@pytest.mark.parametrize("query", ["", "status=running", "kind=influencer_create"])
async def test_pages_hold_every_job_once_newest_first_while_more_are_added(
    caller: Caller, of_project: bool, query: str
) -> None:
    before = [(await caller.create())["jobId"] for _ in range(7)]
    query += f"&projectId={caller.project_id}" if of_project else ""
    shown: list[dict[str, Any]] = []
    async for page in pages(caller, JOBS, 2, query):
        shown += page
        await caller.create()
    newest_first = sorted(shown, key=lambda item: (item["createdAt"], item["jobId"]), reverse=True)
    assert shown == newest_first
    assert sorted(item["jobId"] for item in shown) == sorted(before)


async def test_a_cursor_is_of_one_filter(caller: Caller) -> None:
    await caller.create()
    await caller.create()
    cursor = (await caller.get(f"{JOBS}?status=running&limit=1")).json["nextCursor"]
    for query in ("", "status=failed&", f"status=running&projectId={caller.project_id}&"):
        answer = await caller.get(f"{JOBS}?{query}cursor={cursor}")
        assert list(answer.field_errors) == ["cursor"]
    assert len(await ids(caller, f"status=running&cursor={cursor}")) == 1


ORGANIZATION, PROJECT = str(uuid4()), str(uuid4())
INFLUENCER = f"inf_{7:026d}"
FILTERS = [
    JobFilter(*values)
    for values in product(
        (None, PROJECT), (None, INFLUENCER), (None, "influencer_clone"), (None, "failed")
    )
]
DEEP = 25_000
"""Rows from the newest one to page 1,000."""

FILL = """
insert into read_model.jobs
select 'job_' || lpad(n::text, 26, '0'), $1,
       case when n % 2 = 0 then $2::uuid else gen_random_uuid() end,
       'inf_' || lpad((n % 2000)::text, 26, '0'), 'inf_' || lpad((n % 2000)::text, 26, '0'),
       ($3::text[])[1 + n % cardinality($3::text[])],
       case when n % 100 = 0 then ($4::text[])[1 + n % 300 / 100] else 'completed' end,
       1, timestamptz '2026-01-01' + n * interval '1 second', '{}'
from generate_series(1, 60000) n
"""


@pytest.fixture(scope="module")
async def many_jobs(service: Service) -> AsyncIterator[Pool]:
    pool = service.pool
    await pool.execute(FILL, ORGANIZATION, PROJECT, list(KINDS), list(STATUSES))
    await pool.execute("vacuum analyze read_model.jobs")
    yield pool
    await pool.execute("delete from read_model.jobs where organization_id = $1", ORGANIZATION)


def blocks(plan: dict[str, Any]) -> int:
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def scans(plan: dict[str, Any]) -> list[tuple[str, str]]:
    """Each access to a table: how, and by which index."""
    own = [(plan["Node Type"], plan.get("Index Name", ""))] if "Scan" in plan["Node Type"] else []
    return own + [scan for child in plan.get("Plans", []) for scan in scans(child)]


async def explained(
    connection: "PoolConnectionProxy[Record]", statement: str, values: Sequence[object]
) -> dict[str, Any]:
    """The plan of a prepared statement: only such a one can be generic."""
    await connection.execute(f"prepare listed as {statement}")
    literals = ", ".join(literal(value) for value in values)
    plan = await connection.fetchval(
        f"explain (analyze, buffers, format json) execute listed({literals})"
    )
    await connection.execute("deallocate listed")
    root: dict[str, Any] = orjson.loads(plan)[0]["Plan"]
    return root


def literal(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, list | tuple):
        return f"'{{{','.join(value)}}}'"
    return f"'{value}'"


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("wanted", FILTERS, ids=str)
async def test_page_1000_is_found_by_an_index_like_page_1(
    many_jobs: Pool, wanted: JobFilter, mode: str
) -> None:
    statement, arguments = statement_of(wanted)
    costs = []
    async with many_jobs.acquire() as connection, connection.transaction():
        await connection.execute(f"set local plan_cache_mode = {mode}")
        for place in (60_001, 60_001 - DEEP):
            newest = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=place)
            values = (ORGANIZATION, newest.isoformat(), "", 26, *arguments)
            plan = await explained(connection, statement, values)
            of_jobs = [scan for scan in scans(plan) if scan[0] != "Function Scan"]
            assert of_jobs, plan
            assert all("Index" in how and "jobs_" in index for how, index in of_jobs), of_jobs
            costs.append(blocks(plan))
    first, deep = costs
    # An influencer's own jobs are looked at row by row, which is a few dozen blocks at the most.
    assert deep <= 1.5 * first + 40, costs
