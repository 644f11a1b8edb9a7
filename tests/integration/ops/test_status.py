"""`influencerctl status`: healthy, lagging, damaged, and with a dependency away."""

import asyncpg
import pytest

from services.core.readmodel.rebuild.record import alone
from tests.integration.ops.history import History, relaying
from tests.integration.ops.installation import Answer, Installation, execute
from tests.waiting import eventually

PARTS = [
    *("postgres", "kafka", "relay", "outbox", "queue", "quarantine", "rebuild", "projection", "lag")
]
PARK = """
insert into read_model.quarantine (topic, partition, record_offset, stream_key, reason, headers)
values ('t', 0, 0, 'a/b', 'planted', '{}'), ('t', 0, 1, 'a/b', 'behind it', '{}')
"""
OLD_ROW = """
insert into event_log.outbox (event_id, slot, topic, key, headers, value, created_at)
values ('evt_x', 0, 'influencer.events.v1', 'a/b', '{}', '{}', now() - interval '1 hour')
"""
REREAD = "update read_model.projection_offsets set next_offset = 0, updated_at = now()"
REBUILDING = """
insert into control.rebuilds (kind, fingerprint, phase, offsets_done, offsets_all)
values ('rebuild', 'x', 'fill', 1, 4)
"""


def states(answer: Answer) -> dict[str, str]:
    return {name: part["state"] for name, part in answer.json["parts"].items()}


async def test_a_healthy_system(damageable: Installation) -> None:
    async with relaying(damageable):

        async def healthy() -> bool:
            return (await damageable.ctl("status")).status == 0

        await eventually("all is well", healthy)
        answer = await damageable.ctl("status", "--json")
        assert answer.json["status"] == "ok"
        assert states(answer) == dict.fromkeys(PARTS, "ok")
        facts = answer.json["parts"]
        assert facts["postgres"]["pendingMigrations"] == []
        assert facts["kafka"]["topicFaults"] == {}
        assert facts["relay"]["shards"] == 1
        assert [leader["shard"] for leader in facts["relay"]["leaders"]] == [0]
        assert facts["outbox"]["depth"] == 0
        assert (facts["lag"]["projector"], facts["lag"]["renderer"]) == (0, 0)

        shown = await damageable.ctl_process("status")
        assert (shown.status, shown.err) == (0, "")
        assert [line.split()[:2] for line in shown.out.splitlines()] == [[p, "ok"] for p in PARTS]


@pytest.mark.parametrize(
    ("damage", "part", "says"),
    [
        (REREAD, "lag", "events behind"),
        (REBUILDING, "rebuild", "fill, 25%; interrupted, nobody is at it"),
        (PARK, "quarantine", "1 streams, 2 events"),
        (OLD_ROW, "outbox", "1 events waiting, the oldest 360"),
        ("select 1", "relay", "nobody leads shard 0"),
        ("delete from event_log.relay_configuration", "relay", "no relay has run yet"),
    ],
)
async def test_each_part_that_is_wrong_is_named(
    damageable: Installation, damage: str, part: str, says: str
) -> None:
    await execute(damageable.database_url, damage)
    answer = await damageable.ctl("status", "--max-lag", "5", "--json")
    assert answer.status == 1
    assert answer.json["status"] == "wrong"
    # Nobody relays here, so the relay is always among them.
    assert {name for name, state in states(answer).items() if state != "ok"} == {"relay", part}
    assert says in answer.json["parts"][part]["says"]


async def test_a_projection_that_is_behind_is_lagging_or_stuck(
    damageable: Installation, history: History
) -> None:
    fresh = (await damageable.ctl("status", "--json")).json["parts"]["projection"]
    assert (fresh["state"], fresh["says"]) == ("ok", "fresh")
    await execute(damageable.database_url, REREAD)
    lagging = (await damageable.ctl("status", "--json")).json["parts"]["projection"]
    assert (lagging["state"], lagging["freshness"]["state"]) == ("ok", "lagging")
    assert lagging["freshness"]["events"] == len(history.events)
    assert lagging["says"].startswith(f"lagging: {len(history.events)} events, the oldest ")
    stuck = (await damageable.ctl("status", "--json", "--stuck-after", "0")).json["parts"]
    assert stuck["projection"]["state"] == "wrong"
    assert stuck["projection"]["says"].startswith(f"stuck: {len(history.events)} events")
    await execute(damageable.database_url, "delete from read_model.projection_offsets")
    unread = (await damageable.ctl("status", "--json", "--stuck-after", "0.001")).json["parts"]
    assert unread["projection"]["says"].startswith("stuck: ")


async def test_a_rebuild_that_is_at_work_is_told_and_is_no_fault(
    damageable: Installation,
) -> None:
    await execute(damageable.database_url, REBUILDING)
    connection = await asyncpg.connect(damageable.database_url)
    async with alone(connection):
        told = (await damageable.ctl("status", "--json")).json["parts"]["rebuild"]
    await connection.close()
    assert (told["state"], told["says"]) == ("ok", "rebuild under way: fill, 25%")
    assert told["rebuilding"]["interrupted"] is False


async def test_topics_that_are_missing(sound: Installation) -> None:
    elsewhere = sound.moved(topics=type(sound.topics)("nowhere."))
    answer = await elsewhere.ctl("status", "--json")
    assert answer.status == 1
    faults = answer.json["parts"]["kafka"]["topicFaults"]
    assert faults["nowhere.influencer.events.v1"] == ["missing"]
    assert len(faults) == 4


async def test_a_database_that_is_not_migrated(bare_database: str, sound: Installation) -> None:
    answer = await sound.moved(database_url=bare_database).ctl("status", "--json")
    assert answer.status == 1
    assert "not migrated: create_control_plane" in answer.json["parts"]["postgres"]["says"]


async def test_while_kafka_is_away_the_rest_is_told(sound: Installation) -> None:
    answer = await sound.moved(bootstrap_servers="127.0.0.1:1").ctl("status", "--json")
    assert answer.status == 3
    assert answer.json["status"] == "down"
    told = states(answer)
    assert (told["kafka"], told["postgres"], told["quarantine"]) == ("down", "ok", "ok")
    assert "lag" not in told


async def test_while_postgres_is_away_the_rest_is_told(sound: Installation) -> None:
    away = sound.moved(database_url="postgresql://nobody:x@127.0.0.1:1/none")
    answer = await away.ctl("status")
    assert (answer.status, answer.err) == (3, "")
    lines = [line.split()[:2] for line in answer.out.splitlines()]
    assert lines == [["postgres", "down"], ["kafka", "ok"]]


async def test_what_does_not_answer_in_time_is_down(
    sound: Installation, silent_server: str
) -> None:
    silent = sound.moved(bootstrap_servers=silent_server)
    answer = await silent.ctl("status", "--timeout", "1", "--json")
    assert answer.status == 3
    assert answer.json["parts"]["kafka"]["says"] == "no answer in time"
    assert states(answer)["postgres"] == "ok"


async def test_without_an_environment_it_is_wrong_usage(sound: Installation) -> None:
    answer = await sound.moved(database_url="").ctl("status")
    assert answer.status == 2
    assert answer.err.startswith("DATABASE_URL is not set")
