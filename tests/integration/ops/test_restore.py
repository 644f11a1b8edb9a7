"""`influencerctl restore`: everything is back from the log alone, and the system goes on."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from aiokafka.partitioner import DefaultPartitioner

from deploy.local.stack import Stack
from schemas.ids import Prefix
from services.core.domain.aggregates import AnyCommand
from services.core.domain.commands import (
    CompleteJob,
    CreateInfluencer,
    RecordImage,
    RenderInfluencer,
    StartTraining,
    UpdateInfluencer,
)
from services.core.domain.content import RequestContent
from services.core.domain.errors import InfluencerAlreadyExists, InfluencerNotFound
from services.core.eventlog.topics import create_topics
from services.core.postgres import Pool, open_pool
from services.core.work.render_queue import RenderQueue
from tests.bench.histories import history
from tests.integration.eventlog.conftest import IDS, Tenant, requested, started_group_commit
from tests.integration.ops.history import completing, images_of, projecting, relaying
from tests.integration.ops.installation import Installation, copied_database
from tests.integration.ops.load import life
from tests.integration.ops.test_verify import ALL_IS_PROJECTED
from tests.integration.projector.log import Log
from tests.topics import new_topic_names
from tests.waiting import eventually

PARTITIONS = list(range(12))
TENANT = Tenant(str(uuid4()), str(uuid4()))
CONTENTS = {
    "event_log.streams": "organization_id, stream_id",
    "read_model.influencers": "influencer_id",
    "read_model.jobs": "job_id",
    "read_model.events": "organization_id, stream_id, sequence",
    "read_model.media_assets": "asset_id",
}


@dataclass(frozen=True)
class Source:
    """An installation whose database is lost; two of its jobs still run."""

    installation: Installation
    rows: dict[str, list[str]]
    half_rendered: CreateInfluencer
    rendering_again: RenderInfluencer


@pytest.fixture(scope="module")
async def source(stack: Stack, template_database: str) -> AsyncIterator[Source]:
    names = new_topic_names()
    await create_topics(stack.bootstrap_servers, names, shard_count=1, replication_factor=1)
    async with copied_database(stack.database_url, template_database) as database_url:
        installation = Installation(database_url, stack.bootstrap_servers, names)
        pool = await open_pool(database_url, size=5, application="test")
        first, second = TENANT.create(name="Half"), TENANT.create(name="Again")
        again = RenderInfluencer(*_stream(second), IDS.new(Prefix.JOB))
        content = IDS.new(Prefix.CONTENT), IDS.new(Prefix.JOB)
        ahead: list[AnyCommand] = [command for n in range(4) for command, _ in life(TENANT, n)]
        running: list[AnyCommand] = [
            first,
            StartTraining(*_stream(first), first.job_id, "drawing"),
            RecordImage(*_stream(first), first.job_id, 0, images_of(first)[0]),
            second,
            *completing(second),
            again,
            RequestContent(
                TENANT.organization_id, *content, TENANT.project_id, first.influencer_id, "A beach."
            ),
        ]
        try:
            await append(pool, [*ahead, *running])
            async with relaying(installation), projecting(installation, pool):
                await eventually("all is projected", lambda: _is_projected(pool))
            yield Source(installation, await contents(pool), first, again)
        finally:
            pool.terminate()


@pytest.fixture
async def lost(source: Source, stack: Stack, template_database: str) -> AsyncIterator[Installation]:
    """The same log, and a new database."""
    async with copied_database(stack.database_url, template_database) as database_url:
        yield source.installation.moved(database_url=database_url)


PHASES = ("restore.begin", "rebuild.filled", "restore.fill", "restore.streams")


async def test_killed_in_every_phase_it_brings_everything_back(
    source: Source, lost: Installation
) -> None:
    seen = await lost.ctl("restore", "--dry-run", "--json")
    assert (seen.status, seen.json["resumes"], seen.json["done"]) == (0, False, 0)
    for phase in PHASES:
        killed = await lost.ctl_process("restore", "--yes", "--workers", "2", fail_at=phase)
        assert killed.status != 0, phase
    assert (await lost.ctl("restore", "--dry-run", "--json")).json["resumes"]

    done = await lost.ctl("restore", "--yes", "--json", "--workers", "2")
    assert done.status == 0, done.err
    pool = await open_pool(lost.database_url, size=5, application="test")
    try:
        assert await contents(pool) == source.rows
        assert done.json["streams"] == len(source.rows["event_log.streams"])
        assert (await lost.ctl("verify", "--workers", "1")).status == 0
        await goes_on(source, lost, pool, done.json)
    finally:
        pool.terminate()


async def goes_on(source: Source, lost: Installation, pool: Pool, restored: dict[str, Any]) -> None:
    """As if nothing had happened: sequences, positions, relay, and the jobs that still run."""
    queued = await RenderQueue(pool, lease=30).take(10)
    running = [source.half_rendered.job_id, source.rendering_again.job_id]
    assert [entry.task.job_id for entry in queued] == running
    assert {entry.task.organization_id for entry in queued} == {TENANT.organization_id}
    assert restored["queuedJobs"] == 2
    create = source.half_rendered
    missing = list(enumerate(images_of(create)))[1:]
    await append(
        pool,
        [
            *(RecordImage(*_stream(create), create.job_id, n, image) for n, image in missing),
            CompleteJob(*_stream(create), create.job_id),
            UpdateInfluencer(*_stream(create), {"vibe": "calm"}),
        ],
    )
    async with relaying(lost), projecting(lost, pool):
        await eventually("all is projected", lambda: _is_projected(pool))
    answer = await lost.ctl_process("verify", "--workers", "1", "--json")
    assert answer.status == 0, answer.out
    assert answer.json["waitingEvents"] == 0
    sequence = await pool.fetchval(
        "select sequence from read_model.influencers where influencer_id = $1",
        create.influencer_id,
    )
    assert sequence == 3 + len(missing) + 2


async def test_a_stream_in_quarantine_takes_no_command_until_it_is_freed_and_repaired(
    empty: Installation, pool: Pool
) -> None:
    ill, healthy = list(history())[:4], list(history())[:3]
    partition = DefaultPartitioner()(ill[0].key.encode(), PARTITIONS, PARTITIONS)
    async with Log(empty.bootstrap_servers, empty.topics) as log:
        await log.write([*ill[:2], *healthy], partition)
        await log.write_raw(ill[0].key.encode(), b"hello", [], partition)
        await log.write(ill[2:], partition)
    restored = await empty.ctl("restore", "--yes", "--json", "--workers", "1")
    assert (restored.status, restored.json["queuedJobs"]) == (1, 1), restored
    assert restored.json["quarantined"] == {ill[0].key: 3}
    assert [e.task.job_id for e in await RenderQueue(pool, lease=30).take(10)] == [
        healthy[0].correlation_id
    ]
    again = replace(
        TENANT.create(), organization_id=ill[0].organization_id, influencer_id=ill[0].subject
    )
    with pytest.raises(InfluencerAlreadyExists):
        await append(pool, [again])
    stream = ill[0].organization_id, ill[0].subject
    with pytest.raises(InfluencerNotFound):
        await append(pool, [UpdateInfluencer(*stream, {"vibe": "calm"})])

    skipped = await empty.ctl("quarantine", "skip", ill[0].key, "--reason", "foreign", "--yes")
    assert skipped.status == 0, skipped
    repaired = await empty.ctl("repair", ill[0].subject, "--yes", "--json")
    assert repaired.status == 0, repaired
    assert [e.task.job_id for e in await RenderQueue(pool, lease=30).take(10)] == [
        ill[0].correlation_id
    ]
    await append(pool, [UpdateInfluencer(*stream, {"vibe": "calm"})])
    assert (await empty.ctl("verify", "--workers", "1")).status == 0


async def test_a_database_that_is_not_empty_is_refused(source: Source) -> None:
    for _ in range(2):  # the first attempt must not make it look like a restore's beginning
        answer = await source.installation.ctl("restore", "--yes")
        assert answer.status == 2
        assert "event_log.streams has rows" in answer.err


async def test_services_must_be_stopped(lost: Installation) -> None:
    service = await asyncpg.connect(
        lost.database_url, server_settings={"application_name": "projector"}
    )
    try:
        answer = await lost.ctl("restore", "--yes")
        assert (answer.status, "projector" in answer.err) == (2, True)
    finally:
        await service.close()


async def append(pool: Pool, commands: Sequence[AnyCommand]) -> None:
    group_commit = await started_group_commit(pool)
    for command in commands:
        await group_commit.append(requested(command))
    await group_commit.stop()


async def contents(pool: Pool) -> dict[str, list[str]]:
    """Every row as text; what is spelled the same is the same."""
    return {
        table: [
            row["line"]
            for row in await pool.fetch(f"select r::text as line from {table} r order by {key}")
        ]
        for table, key in CONTENTS.items()
    }


def _stream(create: CreateInfluencer) -> tuple[str, str]:
    return create.organization_id, create.influencer_id


async def _is_projected(pool: Pool) -> bool:
    return bool(await pool.fetchval(ALL_IS_PROJECTED))
