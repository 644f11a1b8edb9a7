"""`influencerctl queue`: what waits, tried at once, canceled like a client does it."""

import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import orjson
import pytest

from schemas.ids import Prefix, UlidSource
from services.core.domain.commands import CreateInfluencer
from services.core.domain.content import RequestContent
from services.core.eventlog.group_commit import GroupCommit
from services.core.postgres import Pool, acquire
from services.core.work.render_queue import RenderQueue, RenderTask
from services.ops.health import queue as queue_health
from tests.integration.eventlog.conftest import Tenant, requested, started_group_commit
from tests.integration.ops.installation import Installation, execute

LEASE = 6.0
CONTENT_ENTRY = """
create schema if not exists content;
create table if not exists content.pgqueuer (like render_queue.pgqueuer including all);
insert into content.pgqueuer (priority, status, entrypoint, dedupe_key, execute_after)
values (0, 'queued', 'content', '{job_id}', now() + interval '1 hour');
"""
IDS = UlidSource()


@pytest.fixture
def installed(sound: Installation, database_url: str) -> Installation:
    """Kafka isn't asked for any of this."""
    return sound.moved(database_url=database_url, bootstrap_servers="")


@pytest.fixture
async def group_commit(pool: Pool) -> AsyncIterator[GroupCommit]:
    started = await started_group_commit(pool)
    yield started
    await started.stop()


@pytest.fixture
def queue(pool: Pool) -> RenderQueue:
    return RenderQueue(pool, lease=LEASE)


async def created(group_commit: GroupCommit, queue: RenderQueue, name: str) -> CreateInfluencer:
    """A running job, with its entry in the queue."""
    create = Tenant(str(uuid4()), str(uuid4())).create(name=name)
    await group_commit.append(requested(create))
    await queue.add(task_of(create))
    return create


def task_of(create: CreateInfluencer) -> RenderTask:
    return RenderTask(
        organization_id=create.organization_id,
        influencer_id=create.influencer_id,
        job_id=create.job_id,
        causation_id=IDS.new(Prefix.EVENT),
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )


async def listed(installed: Installation, *options: str) -> dict[str, dict[str, Any]]:
    answer = await installed.ctl("queue", "list", "--json", *options)
    assert answer.status == 0
    return {entry["jobId"]: entry for entry in answer.json["entries"]}


async def test_every_state_is_told_and_retry_ends_a_delay(
    installed: Installation, group_commit: GroupCommit, queue: RenderQueue
) -> None:
    delayed = await created(group_commit, queue, "Ava")
    silent = await created(group_commit, queue, "Bo")
    held = await created(group_commit, queue, "Cleo")
    for entry in await queue.take(3):
        if entry.task.job_id == delayed.job_id:
            await queue.retry(entry, 600)
    await execute(
        installed.database_url,
        "update render_queue.pgqueuer set heartbeat = now() - interval '10 s'"
        " where dedupe_key = $1",
        silent.job_id,
    )
    due = await created(group_commit, queue, "Dee")

    found = await listed(installed)
    assert {job: entry["state"] for job, entry in found.items()} == {
        delayed.job_id: "delayed",
        silent.job_id: "silent",
        held.job_id: "held",
        due.job_id: "due",
    }
    assert list(found) == [c.job_id for c in (delayed, silent, held, due)], "oldest first"
    assert found[delayed.job_id]["attempts"] == 1
    assert 590 < found[delayed.job_id]["dueInSeconds"] <= 600
    assert found[delayed.job_id]["worker"] is None
    assert found[delayed.job_id]["influencerId"] == delayed.influencer_id
    assert found[delayed.job_id]["jobStatus"] == "running"
    assert found[held.job_id]["worker"]
    assert found[silent.job_id]["silentForSeconds"] >= 10
    assert list(await listed(installed, "--state", "held")) == [held.job_id]
    assert len(await listed(installed, "--limit", "2")) == 2
    shown = await installed.ctl("queue", "list")
    assert shown.status == 0
    assert re.search("delayed, due in (5..|600) s", shown.out)

    retried = ("queue", "retry", delayed.job_id, held.job_id)
    dry = await installed.ctl(*retried, "--dry-run")
    assert dry.out == f"{delayed.job_id}: would be tried now\n{held.job_id}: worked on\n"
    assert (await installed.ctl(*retried, typed="n\n")).status == 1
    assert (await listed(installed))[delayed.job_id]["state"] == "delayed"
    assert (await installed.ctl(*retried, "--yes")).status == 0
    after = await listed(installed)
    assert after[delayed.job_id]["state"] == "due"
    assert after[held.job_id] | {"ageSeconds": 0, "silentForSeconds": 0} == found[held.job_id] | {
        "ageSeconds": 0,
        "silentForSeconds": 0,
    }
    taken = [entry.task.job_id for entry in await queue.take(5)]
    assert delayed.job_id in taken
    assert held.job_id not in taken

    unknown = IDS.new(Prefix.JOB)
    answer = await installed.ctl("queue", "retry", unknown, "--yes")
    assert (answer.status, answer.out) == (1, f"{unknown}: not in the queue\n")


async def test_what_no_worker_can_read_is_told_and_may_be_tried_again(
    installed: Installation, group_commit: GroupCommit, queue: RenderQueue, pool: Pool
) -> None:
    create = await created(group_commit, queue, "Ava")
    job = create.job_id
    spoil = "update render_queue.pgqueuer set payload = $2 where dedupe_key = $1"
    await execute(installed.database_url, spoil, job, b"{")
    assert await queue.take(5) == []
    assert (await listed(installed, "--state", "unreadable"))[job]["jobStatus"] == "running"
    async with acquire(pool) as connection:
        assert (await queue_health(connection))[:2] == ("wrong", "1 unreadable")

    readable = task_of(create).model_dump_json(by_alias=True).encode()
    await execute(installed.database_url, spoil, job, readable)
    assert (await installed.ctl("queue", "retry", job, "--yes")).out == f"{job}: tried now\n"
    [entry] = await queue.take(5)
    assert entry.task.job_id == job

    await queue.set_aside(entry)
    assert (await installed.ctl("queue", "cancel", job, "--yes")).status == 0
    assert await listed(installed) == {}, "no worker would ever take it out"


async def test_cancel_is_an_event_and_final(
    installed: Installation, group_commit: GroupCommit, queue: RenderQueue, pool: Pool
) -> None:
    create = await created(group_commit, queue, "Ava")
    job = create.job_id
    dry = await installed.ctl("queue", "cancel", job, "--dry-run", "--json")
    assert dry.json == {
        "dryRun": True,
        "jobs": [{"jobId": job, "done": True, "says": "would be canceled"}],
    }
    assert (await installed.ctl("queue", "cancel", job)).status == 1, "nobody said yes"
    assert await status_of(pool, job) == "running"

    answer = await installed.ctl("queue", "cancel", job, typed="y\n")
    assert answer.status == 0
    assert await status_of(pool, job) == "canceled"
    event = await pool.fetchrow("select * from event_log.outbox order by outbox_id desc limit 1")
    assert event is not None
    assert orjson.loads(event["headers"])["ce_type"] == "JobCanceled"
    assert orjson.loads(event["value"]) == {"jobId": job, "requestedBy": "influencerctl"}
    assert job in await listed(installed), "a worker takes it out, once it has seen it"

    for options in ("--dry-run", "--yes"):
        again = await installed.ctl("queue", "cancel", job, options)
        assert (again.status, again.out) == (1, f"{job}: job {job} has ended\n")
    unknown = IDS.new(Prefix.JOB)
    answer = await installed.ctl("queue", "cancel", unknown, "--yes")
    assert (answer.status, answer.out) == (1, f"{unknown}: there is no such job\n")


async def test_a_job_of_content_can_be_canceled_too(
    installed: Installation, group_commit: GroupCommit, pool: Pool
) -> None:
    command = RequestContent(
        organization_id=str(uuid4()),
        content_id=IDS.new(Prefix.CONTENT),
        job_id=IDS.new(Prefix.JOB),
        project_id=str(uuid4()),
        influencer_id=IDS.new(Prefix.INFLUENCER),
        brief="At the sea.",
    )
    await group_commit.append(requested(command))
    answer = await installed.ctl("queue", "cancel", command.job_id, "--yes")
    assert (answer.status, answer.out) == (0, f"{command.job_id}: canceled\n")
    assert await status_of(pool, command.job_id) == "canceled"


async def test_the_queue_of_content_is_told_beside_it(installed: Installation) -> None:
    job_id = IDS.new(Prefix.JOB)
    await execute(installed.database_url, CONTENT_ENTRY.format(job_id=job_id))
    entry = (await listed(installed))[job_id]
    assert (entry["queue"], entry["state"]) == ("content", "delayed")
    assert (await installed.ctl("queue", "retry", job_id, "--yes")).status == 0
    assert (await listed(installed))[job_id]["state"] == "due"


async def test_what_cannot_be_meant_is_wrong_usage(installed: Installation) -> None:
    for command in (
        ("list", "--state", "lost"),
        ("retry", "inf_01HXZ9G7KMV2QX8Y1S5RJW3B7T"),
        ("cancel", "?", "--yes"),
    ):
        answer = await installed.ctl("queue", *command)
        assert (answer.status, answer.out, answer.err.count("\n")) == (2, "", 1)


async def status_of(pool: Pool, job_id: str) -> str:
    query = "select status from read_model.jobs where job_id = $1"
    return str(await pool.fetchval(query, job_id))
