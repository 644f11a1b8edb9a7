"""Row-level security: a statement that forgot whose rows it wants gets nothing of others."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import asyncpg
import pytest

from services.api import queries
from services.api.readers import BoundConnection, Readers
from services.core.errors import DependencyUnavailable
from services.core.postgres import open_pool
from tests.integration.access.conftest import Granted
from tests.integration.api.calling import Caller, new_caller
from tests.integration.api.serving import Service, serving

WALLED = {
    "read_model.influencers": "organization_id::text",
    "read_model.jobs": "organization_id::text",
    "read_model.events": "organization_id::text",
    "read_model.media_assets": "organization_id::text",
    "read_model.quarantine": "split_part(stream_key, '/', 1)",
    "event_log.streams": "organization_id::text",
    "event_log.idempotency_keys": "organization_id::text",
    "event_log.uploads": "organization_id::text",
    "control.projects": "organization_id::text",
    "control.skipped_records": "split_part(stream_key, '/', 1)",
}
# What the api doesn't write: of the organization $1.
FILL = """
insert into read_model.events
select o::uuid, 'inf_' || o, 1, 't', 0, n, 'evt_' || n, 'x', 1, o::uuid, now(), '', '', '', '', '{}'
from unnest($1::text[]) with ordinality as w(o, n);
"""
FILL_MEDIA = """
insert into read_model.media_assets
select o::uuid, 'ast_1', o::uuid, null, now(), '{}' from unnest($1::text[]) as w(o)
"""
FILL_QUARANTINE = """
insert into read_model.quarantine
select 't', 0, n, o || '/inf_1', 'x', '[]', null from unnest($1::text[]) with ordinality as w(o, n)
"""
FILL_SKIPPED = """
insert into control.skipped_records
select 't', 0, n, o || '/inf_1', 0, 'x', 'x', 'x', now(), '[]', null
from unnest($1::text[]) with ordinality as w(o, n)
"""
FILL_UPLOADS = """
insert into event_log.uploads
select 'upl_' || o, o::uuid, o::uuid, 'image', 'image/png', 1, null, null, now(), null
from unnest($1::text[]) as w(o)
"""


@dataclass(frozen=True)
class Tenants:
    service: Service
    ours: Caller
    theirs: Caller
    their_influencer: str


@pytest.fixture(scope="module")
async def tenants(granted: Granted) -> AsyncIterator[Tenants]:
    async with (
        serving(granted.logins["api"], walled=True) as service,
        serving(granted.owner) as owners,
        aiohttp.ClientSession() as http,
    ):
        ours, theirs = [(await new_caller(http, owners)).at(service) for _ in ("ours", "theirs")]
        for caller in (ours, theirs):
            await caller.post(caller.influencers, {"name": "Ava"}, Idempotency_Key="one")
        made = await theirs.create(name="Eve")
        organizations = [ours.organization_id, theirs.organization_id]
        for fill in (FILL, FILL_MEDIA, FILL_QUARANTINE, FILL_SKIPPED, FILL_UPLOADS):
            await owners.pool.execute(fill, organizations)
        yield Tenants(service, ours, theirs, made["influencerId"])


@pytest.fixture
async def readers(granted: Granted) -> AsyncIterator[Readers]:
    """Of one connection, so that everybody gets the one that somebody else has used."""
    pool = await open_pool(
        granted.logins["api"],
        size=1,
        application="test",
        role="influencer_reader",
        connection_class=BoundConnection,
    )
    yield Readers(pool, is_walled=True)
    pool.terminate()


@pytest.mark.parametrize("table", WALLED)
async def test_a_reader_sees_the_rows_of_its_organization_alone(
    tenants: Tenants, readers: Readers, table: str
) -> None:
    owners = f"select distinct {WALLED[table]} from {table}"
    for caller in (tenants.ours, tenants.theirs, tenants.ours):
        async with readers.of(caller.organization_id) as connection:
            seen = {owner for (owner,) in await connection.fetch(owners)}
        assert seen == {caller.organization_id}
    async with readers.pool.acquire() as unbound:
        await unbound.execute("reset app.organization_id")
        assert await unbound.fetch(owners) == []


async def test_nothing_else_has_rows_of_organizations(granted: Granted) -> None:
    """A new table with an organization's rows that a reader may read needs a wall too."""
    connection = await asyncpg.connect(granted.owner)
    try:
        found = await connection.fetch(
            "select c.oid::regclass::text as name, c.relrowsecurity as is_walled from pg_class c"
            " where c.relkind = 'r' and has_table_privilege('influencer_reader', c.oid, 'select')"
            " and c.relnamespace::regnamespace::text"
            "   in ('control', 'event_log', 'read_model', 'render_queue', 'content')"
        )
    finally:
        await connection.close()
    assert {row["name"] for row in found if row["is_walled"]} == WALLED.keys()
    assert {row["name"] for row in found if not row["is_walled"]} == {
        "read_model.projection_offsets",
        "control.projection_reports",
    }


async def test_a_query_that_forgets_the_organization_finds_nothing_of_others(
    tenants: Tenants, granted: Granted, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant = queries.FIND_INFLUENCER.replace("organization_id = $1 and", "$1::uuid <> $1 or")
    mutant = mutant.replace("and status <> 'deleted'", "")
    assert mutant != queries.FIND_INFLUENCER
    monkeypatch.setattr(queries, "FIND_INFLUENCER", mutant)
    path = f"/v1/influencers/{tenants.their_influencer}"
    assert (await tenants.theirs.get(path)).status == 200
    assert (await tenants.ours.get(path)).status == 404
    async with serving(granted.owner) as without_wall:
        assert (await tenants.ours.at(without_wall).get(path)).status == 200


async def test_a_binding_that_did_not_end_is_made_again(
    tenants: Tenants, readers: Readers, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = "select count(*) from read_model.influencers"
    async with readers.of(tenants.ours.organization_id) as connection:
        assert await connection.fetchval(count) == 1
    with monkeypatch.context() as broken:
        bind = "select set_config('app.organization_id', $1, false), pg_sleep(0.001), 1 / 0"
        broken.setattr("services.api.readers.BIND", bind)
        with pytest.raises((asyncpg.PostgresError, DependencyUnavailable)):
            async with readers.of(tenants.theirs.organization_id):
                pass
    async with readers.of(tenants.ours.organization_id) as connection:
        assert await connection.fetchval(count) == 1
    async with readers.of(tenants.theirs.organization_id) as connection:
        assert await connection.fetchval(count) == 2
