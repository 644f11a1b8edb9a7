"""`influencerctl repair`: one stream's rows are what the log says again, whatever was wrong."""

import asyncio
from itertools import pairwise
from uuid import uuid4

from schemas.ids import Prefix
from services.core.domain.aggregates import AnyCommand
from services.core.domain.commands import CreateInfluencer, UpdateInfluencer
from services.core.domain.content import CompleteContent, RequestContent
from services.core.postgres import Pool
from tests.integration.eventlog.conftest import IDS, Tenant, requested, started_group_commit
from tests.integration.ops.history import (
    History,
    completing,
    images_of,
    projecting,
    relaying,
)
from tests.integration.ops.installation import Installation, execute
from tests.integration.ops.test_verify import ALL_IS_PROJECTED, CHANGES, GONE, TOO_MANY
from tests.waiting import eventually

RUNNING_AGAIN = """
update read_model.influencers set state = jsonb_set(state, '{status}', '"pending"'),
    status = 'pending' where influencer_id = $1
"""
WRONG_JOB = "update read_model.jobs set state = jsonb_set(state, '{stage}', '\"queued\"')"
WRONG_STYLE = """
update read_model.influencers set state = jsonb_set(state, '{profile,style}', '"wild"')
"""
IS_WILD = """
select exists (select from read_model.influencers where state #>> '{profile,style}' = 'wild')
"""
UNREADABLE = "update read_model.influencers set state = state #- '{profile,name}'"
IS_PARKED = "select exists (select from read_model.quarantine)"
LAST_UPDATE = "select max(sequence) from read_model.influencers"
PARKED_FROM_THE_THIRD = """
insert into read_model.quarantine
    (topic, partition, record_offset, stream_key, reason, headers, value)
select topic, partition, record_offset, organization_id || '/' || stream_id, 'a bug', '[]', null
from read_model.events where stream_id = $1 and sequence > 2
"""
(TOO_MANY_EVENTS,) = (statement for statement in TOO_MANY if "99" in statement)
NOT_APPLIED = "delete from read_model.events where stream_id = $1 and sequence > 2"


async def test_rows_are_as_the_log_says_again(damageable: Installation, history: History) -> None:
    damages = {
        history.completed: [statement for statement, _, _ in CHANGES.values()],
        history.canceled: [*GONE, TOO_MANY_EVENTS],
        history.failed: [PARKED_FROM_THE_THIRD, NOT_APPLIED, RUNNING_AGAIN],
    }
    for create, statements in damages.items():
        for statement in statements:
            await execute(damageable.database_url, statement, create.influencer_id)
    wrong = await differences(damageable)

    changed = history.completed.influencer_id
    organization = "--organization", history.completed.organization_id
    only_told = await damageable.ctl("repair", changed, *organization, "--dry-run")
    assert only_told.status == 0
    told = [row for row in wrong if changed in row or history.completed.job_id in row]
    assert told
    assert all(row in only_told.out for row in told)
    refused = await damageable.ctl("repair", changed, *organization, typed="n\n")
    assert refused.status == 1
    assert await differences(damageable) == wrong

    for create in damages:
        done = await damageable.ctl(
            "repair", create.influencer_id, *organization, "--yes", "--json"
        )
        assert done.status == 0, done.err
        assert done.json["sequence"] == len(history.of(create))
    assert await differences(damageable) == []


async def differences(installation: Installation) -> list[str]:
    answer = await installation.ctl("verify", "--json", "--workers", "1")
    assert answer.json["sound"] == (answer.status == 0)
    return [each["key"] for each in answer.json["differences"]]


async def test_a_sound_stream_is_left_alone(damageable: Installation, history: History) -> None:
    answer = await damageable.ctl("repair", history.failed.influencer_id, "--json")
    assert answer.status == 0
    assert answer.json["differences"] == []


async def test_what_is_not_on_the_log_is_no_stream(damageable: Installation) -> None:
    answer = await damageable.ctl("repair", IDS.new(Prefix.INFLUENCER), "--yes")
    assert (answer.status, "on the log" in answer.err) == (1, True)


async def test_it_gets_in_nobodys_way(empty: Installation, pool: Pool) -> None:
    """While its influencer changes all the time: no row goes back, and none stays wrong."""
    tenant = Tenant(str(uuid4()), str(uuid4()))
    group_commit = await started_group_commit(pool, write_read_models=False)
    create = tenant.create()
    content = RequestContent(
        tenant.organization_id, IDS.new(Prefix.CONTENT), create.job_id[:-1] + "0",
        tenant.project_id, create.influencer_id, "On a beach.",
    )  # fmt: skip
    made = CompleteContent(*_content_key(content), images_of(tenant.create())[0])
    seen: list[int] = []
    stopped = asyncio.Event()

    async def append(command: AnyCommand) -> None:
        await group_commit.append(requested(command))

    async def change() -> None:
        number = 0
        while not stopped.is_set():
            changes = {"vibe": f"calm {number}"}
            await append(UpdateInfluencer(create.organization_id, create.influencer_id, changes))
            number += 1

    async def watch() -> None:
        while not stopped.is_set():
            seen.append(await pool.fetchval(LAST_UPDATE))

    async with relaying(empty):
        async with projecting(empty, pool):
            await append(create)
            for command in completing(create):
                await append(command)
            await append(content)
            await append(made)
            await eventually("all is projected", lambda: _is_true(pool, ALL_IS_PROJECTED))
        tasks = [asyncio.create_task(change()), asyncio.create_task(watch())]
        for damage in (WRONG_JOB, WRONG_STYLE):
            await pool.execute(damage)
            # A projector of its own, which begins with the damaged row.
            async with projecting(empty, pool):
                await updated_more(pool)
                await repaired(empty, create, content)
                await updated_more(pool)
                assert not await _is_true(pool, IS_WILD)
        await pool.execute(UNREADABLE)
        async with projecting(empty, pool):
            await eventually("quarantine", lambda: _is_true(pool, IS_PARKED))
            await repaired(empty, create, content)
            await updated_more(pool)
        stopped.set()
        await asyncio.gather(*tasks)
        async with projecting(empty, pool):
            await eventually("all is projected", lambda: _is_true(pool, ALL_IS_PROJECTED))
        answer = await empty.ctl_process("verify", "--workers", "1")
        assert answer.status == 0, answer.out
    await group_commit.stop()
    assert all(before <= after for before, after in pairwise(seen))
    assert seen[-1] > seen[0]


def _content_key(content: RequestContent) -> tuple[str, str, str]:
    return content.organization_id, content.content_id, content.job_id


async def repaired(
    installation: Installation, create: CreateInfluencer, content: RequestContent
) -> None:
    for stream in (create.influencer_id, content.content_id):
        answer = await installation.ctl_process("repair", stream, "--yes")
        assert answer.status == 0, answer.err


async def updated_more(pool: Pool) -> None:
    reached = await pool.fetchval(LAST_UPDATE)

    async def has_passed() -> bool:
        return bool(await pool.fetchval(LAST_UPDATE) > reached + 5)

    await eventually("more updates", has_passed)


async def _is_true(pool: Pool, query: str) -> bool:
    return bool(await pool.fetchval(query))
