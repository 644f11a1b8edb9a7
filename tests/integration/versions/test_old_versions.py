"""The worked example: an event of version 1 is on the log, and everything reads it as version 2."""

from pathlib import Path

import orjson

from deploy.local.stack import Stack
from schemas.events import InfluencerCreateRequested, value_of
from schemas.ids import Prefix
from services.content.waiting import KnownInfluencer
from services.core.domain.commands import RenderInfluencer
from services.core.eventlog.append import find_stream
from services.core.eventlog.requests import Appended
from services.core.eventlog.topics import TopicNames
from services.core.postgres import Pool, acquire, open_pool
from services.core.readmodel.records import read_record
from services.core.readmodel.rows import QuarantineRow, quarantine_row
from services.core.subscriber import read_events
from services.core.work.render_queue import RenderQueue
from tests.integration.content.subscription import content_pool, subscribed
from tests.integration.eventlog.conftest import requested
from tests.integration.ops.installation import copied_database
from tests.integration.renderer.test_ingest import queued, reading
from tests.integration.versions.conftest import IDS, Past
from tests.reading import read_records
from tests.unit.schemas.versions import old_value
from tests.waiting import eventually

V1 = "/schemas/events/InfluencerCreateRequested/1.json"


def created_data(past: Past) -> InfluencerCreateRequested:
    assert isinstance(past.created.data, InfluencerCreateRequested)
    return past.created.data


async def test_the_log_has_version_1(past: Past) -> None:
    topic = past.installation.topics.influencer
    records = await read_records(past.installation.bootstrap_servers, topic)
    headers = dict(records[0].headers)
    assert headers["ce_dataschema"].decode() == V1
    assert records[0].value == old_value(created_data(past))
    assert b"profile" not in records[0].value


async def has_version_2(pool: Pool) -> None:
    """In the row of the influencer."""
    row = await pool.fetchrow("select status, state from read_model.influencers")
    assert row
    assert row["status"] == "ready"
    assert orjson.loads(row["state"])["profile"] == {
        "name": "Ava Chen",
        "style": "minimalist",
        "vibe": "calm",
    }


async def test_the_projector_folds_version_2(past: Past) -> None:
    await has_version_2(past.service.pool)
    job = orjson.loads(await past.service.pool.fetchval("select state from read_model.jobs"))
    assert job["kind"] == "influencer_create"
    assert job["views"] == list(created_data(past).views)


async def test_the_table_of_events_has_what_the_log_has(past: Past) -> None:
    row = await past.service.pool.fetchrow(
        "select version, data from read_model.events where sequence = 1"
    )
    assert row
    assert row["version"] == 1
    assert row["data"].encode() == old_value(created_data(past))


async def test_a_rest_client_reads_version_2(past: Past) -> None:
    path = f"/v1/influencers/{past.created.subject}"
    record = (await past.caller.get(path)).json
    assert (record["name"], record["style"]) == ("Ava Chen", "minimalist")
    first = (await past.caller.get(f"{path}/events")).json["items"][0]
    assert first["type"] == "InfluencerCreateRequested"
    assert first["data"] == orjson.loads(value_of(past.created))


async def test_the_feed_hands_on_version_1_and_says_so(past: Past) -> None:
    first = (await past.caller.get("/v1/events")).json["items"][0]
    assert first["dataschema"] == V1
    assert first["data"] == orjson.loads(old_value(created_data(past)))


async def test_the_renderer_queues_version_2(past: Past, stack: Stack) -> None:
    queue = RenderQueue(past.service.pool, lease=6)
    async with reading(queue, stack, past.installation.topics):
        await queued(queue, 1)
        (entry,) = await queue.take(5)
    assert entry.task.job_id == created_data(past).job_id
    assert entry.task.causation_id == past.created.id


async def test_a_subscriber_is_handed_version_2(past: Past) -> None:
    topics = [past.installation.topics.influencer]
    read = [e async for e in read_events(past.installation.bootstrap_servers, topics)]
    assert [received.event.data for received in read] == [event.data for event in past.events]
    assert read[0].event.version == 1


async def test_operators_see_version_2(past: Past) -> None:
    told = await past.installation.ctl("history", past.created.subject, "--at", "1", "--json")
    assert told.status == 0, told.err
    assert "minimalist" in told.out


async def test_verify_folds_version_2_in_its_processes(past: Past) -> None:
    verified = await past.installation.ctl_process("verify", "--workers", "1")
    assert verified.status == 0, verified.out
    assert verified.out.endswith("sound\n")


async def test_the_content_service_knows_version_2(past: Past) -> None:
    installation = past.installation
    async with (
        content_pool(installation.database_url) as pool,
        subscribed(installation.bootstrap_servers, installation.topics, pool),
    ):

        async def known() -> KnownInfluencer | None:
            state = await pool.fetchval(
                "select state from content.influencers where sequence = $1", len(past.events)
            )
            return KnownInfluencer.model_validate_json(state) if state else None

        influencer = await eventually("all is taken in", known)
    assert influencer.person
    assert influencer.person.profile == created_data(past).profile


async def test_a_rebuild_fills_in_version_2(past: Past) -> None:
    rebuilt = await past.installation.ctl_process("rebuild", "--workers", "2", "--yes", "--json")
    assert rebuilt.status == 0, rebuilt.err
    await has_version_2(past.service.pool)


async def test_a_repair_writes_version_2(past: Past) -> None:
    await past.service.pool.execute(
        """update read_model.influencers set state = state || '{"profile": {"name": "Eve"}}'"""
    )
    repaired = await past.installation.ctl("repair", past.created.subject, "--yes")
    assert repaired.status == 0, repaired.err
    await has_version_2(past.service.pool)


async def test_a_restore_brings_version_2_back(
    past: Past, stack: Stack, template_database: str
) -> None:
    async with copied_database(stack.database_url, template_database) as database_url:
        lost = past.installation.moved(database_url=database_url)
        restored = await lost.ctl_process("restore", "--yes", "--workers", "2", "--json")
        assert restored.status == 0, restored.err
        assert restored.json == {
            "dryRun": False,
            "events": len(past.events),
            "streams": 1,
            "queuedJobs": 0,
            "quarantined": {},
        }
        pool = await open_pool(database_url, size=2, application="test")
        try:
            await has_version_2(pool)
            async with acquire(pool) as connection:
                state = await find_stream(
                    connection, past.caller.organization_id, past.created.subject
                )
        finally:
            pool.terminate()
    assert state
    assert state.sequence == len(past.events)
    assert state.influencer
    assert state.influencer.profile.style == created_data(past).profile.style


async def test_a_retry_from_quarantine_applies_version_2(
    past: Past, database_url: str, pool: Pool
) -> None:
    records = await read_records(
        past.installation.bootstrap_servers, past.installation.topics.influencer
    )
    parked = [quarantine_row(read_record(record), "of the future") for record in records]
    await pool.execute(
        "insert into read_model.projection_offsets (topic, partition, next_offset)"
        " values ($1, $2, $3)",
        *(parked[-1].topic, parked[-1].partition, parked[-1].record_offset + 1),
    )
    await pool.executemany(
        f"insert into read_model.quarantine ({', '.join(QuarantineRow._fields)})"
        " values ($1, $2, $3, $4, $5, $6, $7, $8)",
        parked,
    )
    freed = past.installation.moved(database_url=database_url)
    answer = await freed.ctl("quarantine", "retry", past.created.subject, "--yes", "--json")
    assert answer.status == 0, answer.err
    await has_version_2(pool)


async def test_an_export_and_an_import_keep_version_1(
    past: Past, stack: Stack, topics: TopicNames, tmp_path: Path
) -> None:
    file = str(tmp_path / "log.jsonl.zst")
    assert (await past.installation.ctl("export", file)).status == 0
    elsewhere = past.installation.moved(topics=topics)
    imported = await elsewhere.ctl("import", file, "--yes")
    assert imported.status == 0, imported.err
    first = (await read_records(stack.bootstrap_servers, topics.influencer))[0]
    assert dict(first.headers)["ce_dataschema"].decode() == V1
    assert first.value == old_value(created_data(past))


async def test_the_write_side_goes_on_from_it(past: Past) -> None:
    """Last: it appends."""
    command = RenderInfluencer(
        past.caller.organization_id,
        past.created.subject,
        IDS.new(Prefix.JOB),
        ("portrait",),
    )
    outcome = await past.service.group_commit.append(requested(command))
    assert isinstance(outcome, Appended)
    assert outcome.events[0].sequence == len(past.events) + 1
