"""The checker on real parts: sound, and with each kind of damage planted."""

import asyncio
from collections.abc import Sequence
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from services.core.eventlog.read import committed_consumer, partitions_of
from tests.integration.ops.history import History, make_history
from tests.integration.ops.installation import Installation, execute

POSITIONS_BACK = """
update read_model.projection_offsets set next_offset = next_offset - 2 where next_offset > 1
"""
STRANGE_ROW = """
insert into event_log.outbox (event_id, slot, topic, key, headers, value)
values ('evt_left', 0, 'influencer.events.v1', 'nobody/inf_left', '{}', '{}')
"""
STRANGE_STREAM = """
insert into event_log.streams (organization_id, stream_id, sequence, state)
select organization_id, 'inf_unheard_of', sequence, state from event_log.streams limit 1
"""
STRANGE_HISTORY = """
insert into read_model.events
select organization_id, stream_id, 99, topic, partition, record_offset, event_id, type, version,
    project_id, occurred_at, source, correlation_id, causation_id, traceparent, data
from read_model.events where sequence = 2
"""
PARK = """
insert into read_model.quarantine (topic, partition, record_offset, stream_key, reason, headers)
select topic, partition, 0, 'a/b', 'planted', '{}' from read_model.projection_offsets
where topic like '%influencer.events.v1' limit 1
"""


async def test_a_sound_system_is_called_sound(sound: Installation, history: History) -> None:
    shown = await sound.ctl("check-log")
    assert (shown.status, shown.err) == (0, "")
    assert f"{len(history.events)} records, 5 streams, 5 jobs" in shown.out
    assert "sound" in shown.out

    answered = (await sound.ctl("check-log", "--json")).json
    assert answered == {
        "sound": True,
        "checked": ["log", "database"],
        "records": len(history.events),
        "streams": 5,
        "jobs": 5,
        "rulesBroken": {},
        "violations": [],
    }


DAMAGES = {
    "rows changed": {
        "update read_model.influencers set status = 'training' where status = 'ready'": (
            "influencer-differs"
        ),
        "update read_model.jobs set status = 'running'": "job-row-differs",
        "update read_model.events set data = '{}' where sequence = 2": ("history-row-differs"),
        "update event_log.streams set sequence = sequence - 1": "stream-differs",
    },
    "states changed": {
        "update read_model.influencers set state = jsonb_set(state, '{profile,vibe}', '\"x\"')": (
            "influencer-differs"
        ),
        "update event_log.streams set state = jsonb_set(state, '{influencer,status}', '\"x\"')": (
            "stream-differs"
        ),
        "update read_model.media_assets set state = '{}'": "asset-row-differs",
        "update read_model.jobs set state = jsonb_set(state, '{stage}', '\"x\"')": (
            "job-row-differs"
        ),
    },
    "rows gone": {
        "delete from read_model.influencers": "influencer-row-missing",
        "delete from read_model.jobs where status = 'canceled'": "job-row-missing",
        "delete from read_model.events where sequence = 2": "history-row-missing",
        "delete from read_model.media_assets": "asset-row-missing",
        "delete from event_log.streams": "stream-row-missing",
        "update read_model.projection_offsets set next_offset = 999": "position-beyond-end",
    },
    "rows too many": {
        STRANGE_STREAM: "stream-row-unexpected",
        STRANGE_HISTORY: "history-row-unexpected",
        STRANGE_ROW: "outbox-not-empty",
        PARK: "quarantined",
        POSITIONS_BACK: "position-behind",
    },
}


@pytest.mark.parametrize("damages", DAMAGES.values(), ids=DAMAGES.keys())
async def test_damage_to_the_database_is_named(
    damageable: Installation, damages: dict[str, str]
) -> None:
    await execute(damageable.database_url, ";".join(damages))
    answer = await damageable.ctl("check-log", "--json")
    assert answer.status == 1
    assert set(answer.json["rulesBroken"]) == set(damages.values())
    assert not answer.json["sound"]


async def test_what_is_shown_to_people_names_rule_place_and_difference(
    damageable: Installation, history: History
) -> None:
    await execute(
        damageable.database_url,
        "update read_model.influencers set status = 'draft' where influencer_id = $1",
        history.failed.influencer_id,
    )
    answer = await damageable.ctl("check-log")
    assert answer.status == 1
    assert "influencer-differs" in answer.out
    assert history.failed.influencer_id in answer.out
    assert "has 'draft', the log says 'failed'" in answer.out


async def test_allowances_pardon_what_a_system_at_work_shows(damageable: Installation) -> None:
    await execute(damageable.database_url, STRANGE_ROW)
    await execute(damageable.database_url, POSITIONS_BACK)
    answer = await damageable.ctl("check-log", "--allow-waiting", "--allow-lag")
    assert answer.status == 0, answer.out


async def test_damage_to_the_log_is_named(empty: Installation) -> None:
    """On one log, one after the other: nothing on it can be taken back."""
    history = await make_history(empty, projected=False)
    first = await rules_broken(empty)
    assert first == {"position-behind", "history-row-missing", "asset-row-missing"}

    copy = await first_record(empty)
    await produce(empty, copy.partition, copy.key, copy.value, copy.headers)
    assert await rules_broken(empty, "--allow-lag") == {"sequence-repeated"}

    await produce(empty, 3, None, b"not json", ())
    assert await rules_broken(empty, "--allow-lag") == {
        "sequence-repeated",
        "header-missing",
        "data-unreadable",
    }

    elsewhere = (copy.partition + 1) % 12
    headers = [(n, b"9" if n == "ce_sequence" else v) for n, v in copy.headers]
    await produce(empty, elsewhere, copy.key, copy.value, headers)
    assert await rules_broken(empty, "--allow-lag") >= {
        "event-id-repeated",
        "stream-on-two-partitions",
    }
    assert len(history.events) + 3 == (await empty.ctl("check-log", "--json")).json["records"]


async def test_it_waits_for_what_is_committed_but_not_marked_yet(empty: Installation) -> None:
    """Kafka answers a commit before its markers are on the log; here they are held back."""
    async with (
        AIOKafkaProducer(
            bootstrap_servers=empty.bootstrap_servers, transactional_id=f"held-{uuid4()}"
        ) as producer,
        producer.transaction(),
    ):
        await producer.send_and_wait(empty.topics.influencer, b"{}", b"a/b", 0)
        checking = asyncio.create_task(empty.ctl("check-log", "--json"))
        done, _ = await asyncio.wait({checking}, timeout=1.5)
        assert not done
    assert (await checking).json["records"] == 1


async def test_without_its_sources_it_says_so_in_one_line(sound: Installation) -> None:
    for away, word in (
        (sound.moved(bootstrap_servers="127.0.0.1:1"), "kafka: "),
        (sound.moved(database_url="postgresql://nobody:x@127.0.0.1:1/none"), "postgres: "),
    ):
        answer = await away.ctl("check-log")
        assert answer.status == 3
        assert answer.err.startswith(word)
        assert answer.err.count("\n") == 1


async def rules_broken(installation: Installation, *options: str) -> set[str]:
    return set((await installation.ctl("check-log", "--json", *options)).json["rulesBroken"])


async def first_record(installation: Installation):  # type: ignore[no-untyped-def]
    consumer: AIOKafkaConsumer = committed_consumer(installation.bootstrap_servers)
    await consumer.start()
    try:
        consumer.assign(await partitions_of(consumer, installation.topics.influencer))
        await consumer.seek_to_beginning()
        return await consumer.getone()
    finally:
        await consumer.stop()


async def produce(
    installation: Installation,
    partition: int,
    key: bytes | None,
    value: bytes,
    headers: Sequence[tuple[str, bytes]],
) -> None:
    """As a foreign program would: outside of any transaction."""
    async with AIOKafkaProducer(bootstrap_servers=installation.bootstrap_servers) as producer:
        await producer.send_and_wait(
            installation.topics.influencer, value, key, partition, headers=list(headers)
        )
