"""Each service under a database role of its own: all works, and nothing else is allowed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from deploy.local.stack import Stack
from services.core.eventlog.topics import TopicNames
from services.core.postgres import open_pool
from tests.faults.system import System, build_system
from tests.integration.access.conftest import Granted
from tests.integration.access.journey import Client
from tests.integration.ops.installation import Installation

REFUSED = {
    "api": (
        "delete from read_model.events",
        "update read_model.events set source = 'x'",
        "insert into control.api_keys select * from control.api_keys",
        "update control.api_keys set revoked_at = null",
        "delete from event_log.streams",
        "update event_log.outbox set value = ''",
        "select * from render_queue.pgqueuer",
        "select * from content.requests",
        "create table read_model.mine (x int)",
        "set role influencer_projector",
    ),
    "renderer": (
        "select * from control.api_keys",
        "select * from control.organizations",
        "select * from read_model.events",
        "select * from event_log.outbox",
        "delete from event_log.outbox",
        "delete from event_log.streams",
        "select * from content.requests",
        "delete from read_model.influencers",
        "insert into event_log.condemned_objects values ('x', now())",
    ),
    "content": (
        "select * from control.api_keys",
        "select * from read_model.events",
        "select * from event_log.outbox",
        "select * from render_queue.pgqueuer",
        "delete from read_model.jobs",
    ),
    "projector": (
        "select * from control.api_keys",
        "select * from control.organizations",
        "insert into control.skipped_records select * from control.skipped_records",
        "select * from event_log.streams",
        "insert into event_log.outbox (event_id) values ('x')",
        "delete from read_model.events",
        "update read_model.events set source = 'x'",
        "truncate read_model.jobs",
        "alter table read_model.jobs disable row level security",
        "set role influencer_api",
    ),
}


@pytest.fixture
async def system(
    stack: Stack, granted: Granted, topics: TopicNames, tmp_path: Path
) -> AsyncIterator[System]:
    """All services as processes, each with its own login."""
    pool = await open_pool(granted.owner, size=2, application="test")
    built = await build_system(stack, granted.owner, pool, topics, tmp_path)
    pool.terminate()
    built.add("content")
    for name, part in built.parts.items():
        part.environment = {**part.environment, "DATABASE_URL": granted.logins[name]}
    try:
        await built.start()
        yield built
    finally:
        built.stop()


async def test_the_whole_chain_works_with_a_role_for_each_service(
    system: System, granted: Granted, stack: Stack, topics: TopicNames
) -> None:
    async with aiohttp.ClientSession(headers={"X-Api-Key": system.api_key}) as session:
        client = Client(session, system)
        made = await client.creates()
        await client.changes(made)
        await client.asks_for_a_picture(made)
        await client.reads(made)
        operations = Installation(granted.owner, stack.bootstrap_servers, topics)
        rebuilt = await operations.ctl("rebuild", "--workers", "1", "--yes")
        assert rebuilt.status == 0, rebuilt
        again = await client.creates()
        assert (await client.send("GET", f"/v1/influencers/{made}"))["status"] == "ready"
        listed = await client.send("GET", f"/v1/projects/{system.project_id}/influencers")
        assert {item["influencerId"] for item in listed["items"]} == {made, again}
        await client.reads(again)


@pytest.mark.parametrize("service", REFUSED)
async def test_a_service_may_do_nothing_that_it_need_not_do(granted: Granted, service: str) -> None:
    connection = await asyncpg.connect(granted.logins[service])
    try:
        for statement in REFUSED[service]:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()


async def test_what_is_not_in_the_list_is_taken_away(granted: Granted) -> None:
    owner = await asyncpg.connect(granted.owner)
    may = "select has_table_privilege('influencer_renderer', 'control.api_keys', 'select')"
    try:
        await owner.execute("grant select on control.api_keys to influencer_renderer")
        assert await owner.fetchval(may)
        told = await Installation(granted.owner, "", TopicNames()).ctl("grants", "--yes")
        assert told.status == 0, told
        assert not await owner.fetchval(may)
        # Those who come together don't get in each other's way.
        answers = await asyncio.gather(
            *(Installation(granted.owner, "", TopicNames()).ctl_process("grants") for _ in "ab")
        )
        assert [answer.status for answer in answers] == [0, 0], answers
    finally:
        await owner.close()
