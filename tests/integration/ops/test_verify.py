"""`influencerctl verify` on real parts: sound, under load, and with each kind of damage planted."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest

from services.core.postgres import Pool
from services.ops.verification import verify as verification
from tests.integration.eventlog.conftest import Tenant
from tests.integration.ops.history import History, projecting, relaying
from tests.integration.ops.installation import Installation, execute
from tests.integration.ops.load import Load, loading
from tests.waiting import eventually

MODELS = (
    "event_log.streams",
    "read_model.events",
    "read_model.influencers",
    "read_model.jobs",
    "read_model.media_assets",
)


async def test_a_sound_system_is_called_sound(sound: Installation, history: History) -> None:
    shown = await sound.ctl("verify", "--workers", "2")
    assert shown.status == 0
    assert shown.out.endswith("sound\n")

    answered = (await sound.ctl("verify", "--json", "--workers", "1")).json
    assert answered["sound"]
    assert answered["folded"] == len(history.events)
    assert {model: found["rows"] for model, found in answered["hashes"].items()} == {
        "event_log.streams": 5,
        "read_model.events": len(history.events),
        "read_model.influencers": 5,
        "read_model.jobs": 5,
        "read_model.media_assets": 13,
    }
    for found in answered["hashes"].values():
        assert found["log"] == found["database"]
    assert answered["differences"] == answered["damages"] == answered["waiting"] == []


# What is done to the rows of one influencer ($1); then the row, and the fields that must be named.
CHANGES: dict[str, tuple[str, str, Sequence[str]]] = {
    "a stream's state": (
        """update event_log.streams
        set state = jsonb_set(state, '{influencer,profile,vibe}', '"wild"') where stream_id = $1""",
        "event_log.streams {key}",
        ["state.influencer.profile.vibe"],
    ),
    "a stream's sequence": (
        "update event_log.streams set sequence = sequence - 1 where stream_id = $1",
        "event_log.streams {key}",
        ["sequence"],
    ),
    "an influencer's status and sequence": (
        """update read_model.influencers set status = 'draft', sequence = 99
        where influencer_id = $1""",
        "read_model.influencers {key}",
        ["sequence", "status"],
    ),
    "an influencer's project and date": (
        """update read_model.influencers set project_id = organization_id,
        created_at = created_at + interval '1 microsecond' where influencer_id = $1""",
        "read_model.influencers {key}",
        ["created_at", "project_id"],
    ),
    "an image within a state": (
        """update read_model.influencers
        set state = state #- '{referenceImages,1,width}' where influencer_id = $1""",
        "read_model.influencers {key}",
        ["state.referenceImages.1.width"],
    ),
    "a job's stage, stream and influencer": (
        """update read_model.jobs set state = jsonb_set(state, '{stage}', '"queued"'),
        stream_id = 'inf_else', influencer_id = 'inf_else' where influencer_id = $1""",
        "read_model.jobs {job}",
        ["influencer_id", "state.stage", "stream_id"],
    ),
    "an event's data and type": (
        """update read_model.events set data = '{"jobId": "job_x"}', type = 'InfluencerReady'
        where stream_id = $1 and sequence = 2""",
        "read_model.events {key}/2",
        ["data.attempt", "data.backend", "data.jobId", "type"],
    ),
    "an event's place": (
        """update read_model.events set record_offset = record_offset + 1
        where stream_id = $1 and sequence = 3""",
        "read_model.events {key}/3",
        ["record_offset"],
    ),
    "an event's white space": (
        """update read_model.events set data = (data::text || ' ')::json
        where stream_id = $1 and sequence = 4""",
        "read_model.events {key}/4",
        ["data"],
    ),
    "a media asset's width": (
        """update read_model.media_assets set state = jsonb_set(state, '{width}', 'true')
        where influencer_id = $1 and asset_id like '%0'""",
        "read_model.media_assets {asset}",
        ["state.width"],
    ),
}


async def test_a_row_that_differs_is_named_with_its_fields(
    damageable: Installation, history: History
) -> None:
    create = history.completed
    key = f"{create.organization_id}/{create.influencer_id}"
    asset = f"{create.organization_id}/ast_{create.job_id[4:-1]}0"
    expected: dict[str, list[str]] = defaultdict(list)
    for statement, row, fields in CHANGES.values():
        await execute(damageable.database_url, statement, create.influencer_id)
        expected[row.format(key=key, job=create.job_id, asset=asset)] += fields

    answer = await damageable.ctl("verify", "--json", "--workers", "2")
    assert answer.status == 1
    assert not answer.json["sound"]
    assert {
        f"{found['model']} {found['key']}": [field["field"] for field in found["fields"]]
        for found in answer.json["differences"]
    } == {row: sorted(fields) for row, fields in expected.items()}
    assert answer.json["differenceCounts"] == {
        model: sum(row.startswith(f"{model} ") for row in expected) for model in MODELS
    }
    for hashes in answer.json["hashes"].values():
        assert hashes["log"] != hashes["database"]


async def test_what_is_shown_to_people_names_row_field_and_values(
    damageable: Installation, history: History
) -> None:
    await execute(
        damageable.database_url,
        "update read_model.influencers set status = 'draft' where influencer_id = $1",
        history.failed.influencer_id,
    )
    answer = await damageable.ctl("verify")
    assert answer.status == 1
    assert history.failed.influencer_id in answer.out
    assert 'status: has "draft", the log says "failed"' in answer.out
    assert answer.out.endswith("1 rows differ, 0 records can't be folded\n")


GONE = {
    "delete from event_log.streams where stream_id = $1": "event_log.streams {key}",
    "delete from read_model.influencers where influencer_id = $1": "read_model.influencers {key}",
    "delete from read_model.jobs where influencer_id = $1": "read_model.jobs {job}",
    "delete from read_model.events where stream_id = $1 and sequence = 2": (
        "read_model.events {key}/2"
    ),
    "delete from read_model.media_assets where influencer_id = $1 and asset_id like '%0'": (
        "read_model.media_assets {asset}"
    ),
}
TOO_MANY = {
    """insert into event_log.streams select organization_id, 'inf_x', sequence, state
    from event_log.streams where stream_id = $1""": ("event_log.streams {organization}/inf_x"),
    """insert into read_model.influencers
    select organization_id, 'inf_x', project_id, status, sequence, created_at, state
    from read_model.influencers where influencer_id = $1""": (
        "read_model.influencers {organization}/inf_x"
    ),
    """insert into read_model.jobs
    select 'job_x', organization_id, project_id, influencer_id, stream_id, 'content_generate',
        status, sequence, created_at, state
    from read_model.jobs where influencer_id = $1""": "read_model.jobs job_x",
    """insert into read_model.events
    select organization_id, stream_id, 99, topic, partition, record_offset, event_id, type, version,
        project_id, occurred_at, source, correlation_id, causation_id, traceparent, data
    from read_model.events where stream_id = $1 and sequence = 2""": "read_model.events {key}/99",
    """insert into read_model.media_assets
    select organization_id, 'ast_x', project_id, influencer_id, created_at, state
    from read_model.media_assets where influencer_id = $1 and asset_id like '%0'""": (
        "read_model.media_assets {organization}/ast_x"
    ),
}
POSITION_TOO_FAR = """
update read_model.projection_offsets set next_offset = next_offset + 1000000
where (topic, partition) =
    (select topic, partition from read_model.events where stream_id = $1 limit 1)
"""
PARKED = """
insert into read_model.quarantine (topic, partition, record_offset, stream_key, reason, headers)
select topic, 11, 123456, 'a/b', $1, '{}' from read_model.events limit 1
"""


async def test_rows_that_are_gone_or_too_many_are_named(
    damageable: Installation, history: History
) -> None:
    gone, doubled = history.completed, history.canceled
    names = {
        "organization": gone.organization_id,
        "key": f"{gone.organization_id}/{gone.influencer_id}",
        "job": gone.job_id,
        "asset": f"{gone.organization_id}/ast_{gone.job_id[4:-1]}0",
    }
    missing = {row.format(**names) for row in GONE.values()}
    names["key"] = f"{doubled.organization_id}/{doubled.influencer_id}"
    unexpected = {row.format(**names) for row in TOO_MANY.values()}
    for statement in TOO_MANY:
        await execute(damageable.database_url, statement, doubled.influencer_id)
    for statement in GONE:
        await execute(damageable.database_url, statement, gone.influencer_id)
    await execute(damageable.database_url, POSITION_TOO_FAR, history.failed.influencer_id)
    await execute(damageable.database_url, PARKED, "planted")

    answer = await damageable.ctl("verify", "--json", "--workers", "2")
    assert answer.status == 1
    found: dict[str, set[str]] = defaultdict(set)
    for each in answer.json["differences"]:
        found[each["kind"]].add(f"{each['model']} {each['key']}")
    quarantined = {row for row in found["unexpected"] if "quarantine" in row}
    assert found["missing"] == missing
    assert found["unexpected"] == unexpected | quarantined
    assert [row.endswith("/11/123456") for row in quarantined] == [True]
    assert [row.split()[0] for row in found["differs"]] == ["read_model.projection_offsets"]


async def test_no_more_differences_are_named_than_wanted(damageable: Installation) -> None:
    await execute(damageable.database_url, "update read_model.jobs set kind = 'x'")
    answer = await damageable.ctl("verify", "--json", "--limit", "2", "--workers", "1")
    assert len(answer.json["differences"]) == 2
    assert answer.json["differenceCounts"] == {"read_model.jobs": 5}


ALL_IS_PROJECTED = """
select (select sum(sequence) from event_log.streams) = (select count(*) from read_model.events)
"""


async def test_a_system_at_work_gives_no_false_alarm(empty: Installation, pool: Pool) -> None:
    """Rows ahead of the log, events behind the position, events in the outbox: all explained."""
    tenant = Tenant(str(uuid4()), str(uuid4()))
    async with loading(pool, tenant) as load:
        async with relaying(empty):
            async with projecting(empty, pool):
                await eventually("some histories", lambda: reached(load, 8))
                for _ in range(2):
                    assert (await verified_sound(empty))["folded"] > 0
            lives = load.lives
            await eventually("more of them", lambda: reached(load, lives + 5))
            assert (await verified_sound(empty))["later"] > 0
        lives = load.lives
        await eventually("more of them", lambda: reached(load, lives + 5))
        answer = await verified_sound(empty)
        assert answer["waitingEvents"] >= 10
        assert sum(stream["events"] for stream in answer["waiting"]) == answer["waitingEvents"]
    async with relaying(empty), projecting(empty, pool):
        await eventually("all is projected", lambda: all_is_projected(pool), 60)
    assert (await verified_sound(empty))["waitingEvents"] == 0


async def reached(load: Load, lives: int) -> bool:
    return load.lives >= lives


async def all_is_projected(pool: Pool) -> bool:
    return bool(await pool.fetchval(ALL_IS_PROJECTED))


async def verified_sound(installation: Installation) -> dict[str, Any]:
    answer = await installation.ctl_process("verify", "--json", "--workers", "2")
    assert answer.status == 0, answer.out + answer.err
    found: dict[str, Any] = answer.json
    return found


async def test_without_its_sources_it_says_so_in_one_line(sound: Installation) -> None:
    for away, word in (
        (sound.moved(bootstrap_servers="127.0.0.1:1"), "kafka"),
        (sound.moved(database_url="postgresql://nobody:x@127.0.0.1:1/none"), "postgres"),
    ):
        answer = await away.ctl("verify")
        assert answer.status == 3
        assert word in answer.err
        assert answer.err.count("\n") == 1


async def test_a_swap_between_fold_and_comparison_is_no_difference(
    damageable: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new tables are not those of the snapshot: their rows are not seen in it."""
    compare = verification._compare

    async def swap_first(*arguments: Any) -> None:
        swapped = await damageable.ctl_process("rebuild", "--yes", "--workers", "1")
        assert swapped.status == 0, swapped
        await compare(*arguments)

    monkeypatch.setattr(verification, "_compare", swap_first)
    answer = await damageable.ctl("verify", "--json", "--workers", "1")
    assert (answer.status, answer.out) == (1, "")
    assert "a rebuild has replaced the read models meanwhile: begin again" in answer.err
    monkeypatch.undo()
    assert (await damageable.ctl("verify", "--workers", "1")).status == 0


async def test_a_skip_that_gave_no_event_up_hides_no_difference(
    damageable: Installation, history: History
) -> None:
    """Such as that of a repeated event: its stream is compared as any other."""
    create, url = history.completed, damageable.database_url
    (event,) = history.of(create)[1:2]
    await execute(
        url,
        """insert into control.skipped_records (topic, partition, record_offset, stream_key,
            sequence_after, fault, reason, skipped_by, headers, value)
        values ($1, 0, 123456, $2, 2, 'repeated', 'seen', 'somebody', '[]', 'x')""",
        damageable.topics.influencer,
        event.key,
    )
    await execute(
        url,
        "update read_model.influencers set status = 'draft' where influencer_id = $1",
        create.influencer_id,
    )
    answer = await damageable.ctl("verify", "--json", "--workers", "1")
    assert (answer.status, answer.json["skipped"]) == (1, 1)
    assert [found["key"] for found in answer.json["differences"]] == [event.key]
