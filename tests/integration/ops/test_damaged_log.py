"""Each damage on the log: `verify` names it, its stream is in quarantine, no other is held up.

All damages are on one partition, each between the events of a sound stream.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import pytest

from deploy.local.stack import Stack
from schemas.events import CONTENT_TOPIC, Event, value_of
from schemas.ids import Prefix
from services.core.domain.aggregates import aggregate_of
from services.core.eventlog.topics import create_topics
from services.core.postgres import Pool, open_pool
from services.core.readmodel.records import Headers
from services.core.readmodel.rows import state_json
from tests.bench.histories import EVENTS_EACH, history
from tests.integration.eventlog.conftest import IDS
from tests.integration.ops.history import projecting
from tests.integration.ops.installation import Installation, copied_database
from tests.integration.projector.log import Log, encoded_headers
from tests.topics import new_topic_names
from tests.unit.domain.specification import envelope
from tests.unit.domain.test_content import CANCELED, REQUESTED
from tests.unit.readmodel.test_apply import UPLOADED
from tests.waiting import eventually

PARTITION = 3
INSERT_STREAM = """
insert into event_log.streams (organization_id, stream_id, sequence, state) values ($1, $2, $3, $4)
"""

Written = tuple[bytes | None, Headers]
Damage = Callable[[list[Event]], list[Written]]


def sound(event: Event) -> Written:
    return value_of(event), encoded_headers(event)


def with_header(event: Event, name: str, value: str) -> Written:
    headers = [(n, value.encode() if n == name else v) for n, v in encoded_headers(event)]
    return value_of(event), headers


def all_but_third(events: list[Event], *instead: Written) -> list[Written]:
    return [*map(sound, events[:2]), *instead, *map(sound, events[3:])]


def with_another_third(events: list[Event]) -> list[Written]:
    other = with_header(events[2], "ce_id", OTHER_ID)
    return [*map(sound, events[:5]), other, *map(sound, events[5:])]


# What is written in place of a sound history; the reason, and how many records can't be folded.
DAMAGES: dict[str, tuple[Damage, str, int]] = {
    "a hole": (all_but_third, "expected sequence 3, got 4", 5),
    "a swapped pair": (
        lambda events: all_but_third(
            [*events[:3], *events[4:]], sound(events[3]), sound(events[2])
        ),
        "expected sequence 3, got 4",
        6,
    ),
    "a truncated value": (
        lambda events: all_but_third(
            events, (value_of(events[2])[:-9], encoded_headers(events[2]))
        ),
        "data is not a InfluencerImageRendered",
        6,
    ),
    "an unknown type": (
        lambda events: all_but_third(
            events, with_header(events[2], "ce_type", "InfluencerAscended")
        ),
        "unknown type or version: InfluencerAscended",
        6,
    ),
    "a version from the future": (
        lambda events: all_but_third(
            events,
            with_header(events[2], "ce_dataschema", f"/schemas/events/{events[2].type}/99.json"),
        ),
        "unknown type or version",
        6,
    ),
    "a foreign message without headers": (
        lambda events: [*map(sound, events[:2]), (b"hello", []), *map(sound, events[2:])],
        "not a CloudEvent of ours: ce_specversion is missing",
        7,
    ),
}
REPEATED = "a repeated event"
TAKEN = "another event with a sequence that is taken"
OTHER_ID = "evt_01HXZ9G7KMV2QX8Y1S5RJW3B7T"


@dataclass
class Damaged:
    """What was written, and what projector and `verify` have made of it."""

    healthy: list[list[Event]] = field(default_factory=list)
    ill: dict[str, list[Event]] = field(default_factory=dict)
    small: dict[str, list[list[Event]]] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    sequences: dict[str, int] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)
    rebuilt: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(scope="module")
async def damaged(stack: Stack, template_database: str) -> AsyncIterator[Damaged]:
    names = new_topic_names()
    await create_topics(stack.bootstrap_servers, names, shard_count=1, replication_factor=1)
    async with copied_database(stack.database_url, template_database) as database_url:
        installation = Installation(database_url, stack.bootstrap_servers, names)
        pool = await open_pool(database_url, size=5, application="test")
        made = Damaged()
        try:
            await write_damages(installation, pool, made)
            async with projecting(installation, pool):
                await eventually("all is read", lambda: is_read(pool, made), 60)
            await look(installation, pool, made)
            yield made
        finally:
            pool.terminate()


async def write_damages(installation: Installation, pool: Pool, made: Damaged) -> None:
    async with Log(installation.bootstrap_servers, installation.topics) as log:
        for name, (damage, _, _) in DAMAGES.items():
            await write_between(log, name, made, damage)
        await write_between(log, REPEATED, made, lambda e: [*map(sound, [*e[:5], e[2], *e[5:]])])
        await write_between(log, TAKEN, made, with_another_third)
        await write_to_other_topics(log, made)
    small = (events for histories in made.small.values() for events in histories)
    for events in (*made.healthy, *made.ill.values(), *small):
        aggregate = aggregate_of(events[0].subject)
        state = reduce(aggregate.evolve, events, aggregate.initial_state)
        key = events[0].organization_id, events[0].subject
        await pool.execute(INSERT_STREAM, *key, state.sequence, state_json(state))


async def write_to_other_topics(log: Log, made: Damaged) -> None:
    """Of assets and contents: one that is repeated, one that is cut off, and one that is sound."""
    for topic, history_of in ((log.names.media, upload), (log.names.named(CONTENT_TOPIC), content)):
        repeated, cut, healthy = (history_of() for _ in range(3))
        made.small[topic] = [repeated, cut, healthy]
        await log.write([*repeated, *repeated[:1]], PARTITION)
        key = cut[0].key.encode()
        await log.write_raw(key, value_of(cut[0])[:-9], encoded_headers(cut[0]), PARTITION, topic)
        await log.write([*cut[1:], *healthy], PARTITION)


def upload() -> list[Event]:
    asset_id = IDS.new(Prefix.ASSET)
    data = UPLOADED.model_copy(update={"asset_id": asset_id})
    return [envelope(data, 1, asset_id)]


def content() -> list[Event]:
    content_id, job_id = IDS.new(Prefix.CONTENT), IDS.new(Prefix.JOB)
    data = (each.model_copy(update={"job_id": job_id}) for each in (REQUESTED, CANCELED))
    return [envelope(each, sequence, content_id) for sequence, each in enumerate(data, start=1)]


async def write_between(log: Log, name: str, made: Damaged, damage: Damage) -> None:
    """The damaged history, and a sound one event by event between its records."""
    made.ill[name], healthy = list(history()), list(history())
    made.healthy.append(healthy)
    for place, (value, headers) in enumerate(damage(made.ill[name])):
        await log.write(healthy[place : place + 1], PARTITION)
        await log.write_raw(made.ill[name][0].key.encode(), value, headers, PARTITION)
    await log.write(healthy[place + 1 :], PARTITION)


async def is_read(pool: Pool, made: Damaged) -> bool:
    ends = [made.healthy[-1], *(histories[-1] for histories in made.small.values())]
    there = await pool.fetchval(
        "select count(*) from read_model.events e"
        " join unnest($1::text[], $2::bigint[]) as last(stream_id, sequence)"
        " using (stream_id, sequence)",
        [events[-1].subject for events in ends],
        [events[-1].sequence for events in ends],
    )
    return bool(there == len(ends))


async def look(installation: Installation, pool: Pool, made: Damaged) -> None:
    rows = await pool.fetch(
        "select * from read_model.quarantine order by topic, partition, record_offset"
    )
    made.rows = [dict(row) for row in rows]
    found = await pool.fetch("select * from read_model.influencers")
    made.sequences = {f"{r['organization_id']}/{r['influencer_id']}": r["sequence"] for r in found}
    answer = await installation.ctl_process("verify", "--json", "--workers", "2")
    assert answer.status == 1, answer.err
    made.report = answer.json
    made.rebuilt = (await installation.ctl("rebuild", "--dry-run", "--json")).json


@pytest.mark.parametrize("kind", DAMAGES)
async def test_the_damage_is_named_and_its_stream_in_quarantine(
    kind: str, damaged: Damaged
) -> None:
    _, reason, unfolded = DAMAGES[kind]
    key = damaged.ill[kind][0].key
    (named,) = (each for each in damaged.report["damages"] if each["key"] == key)
    assert reason in named["reason"]
    assert named["followedBy"] == unfolded - 1
    parked = [row for row in damaged.rows if row["stream_key"] == key]
    assert reason in parked[0]["reason"]
    assert len(parked) == unfolded
    assert (named["topic"], named["partition"], named["offset"]) == (
        parked[0]["topic"],
        parked[0]["partition"],
        parked[0]["record_offset"],
    )
    assert damaged.sequences[key] == 2


async def test_a_repeated_event_is_named_and_changes_nothing(damaged: Damaged) -> None:
    events = damaged.ill[REPEATED]
    (named,) = (each for each in damaged.report["damages"] if each["key"] == events[0].key)
    assert "more than once" in named["reason"]
    assert damaged.sequences[events[0].key] == EVENTS_EACH
    (row,) = (row for row in damaged.rows if row["stream_key"] == events[0].key)
    assert (row["repeated"], row["record_offset"]) == (True, named["offset"])


async def test_another_event_with_a_sequence_that_is_taken_parks_the_stream(
    damaged: Damaged,
) -> None:
    key = damaged.ill[TAKEN][0].key
    (named,) = (each for each in damaged.report["damages"] if each["key"] == key)
    assert "another event with sequence 3" in named["reason"]
    assert named["followedBy"] == EVENTS_EACH - 5
    parked = [row for row in damaged.rows if row["stream_key"] == key]
    assert not any(row["repeated"] for row in parked)
    assert "another event with sequence 3" in parked[0]["reason"]
    assert parked[0]["record_offset"] == named["offset"]
    assert len(parked) == 1 + EVENTS_EACH - 5
    assert damaged.sequences[key] == 5


async def test_assets_and_contents_alike(damaged: Damaged) -> None:
    for topic, (repeated, cut, healthy) in damaged.small.items():
        named = {each["key"]: each for each in damaged.report["damages"] if each["topic"] == topic}
        assert named.keys() == {repeated[0].key, cut[0].key}
        assert "more than once" in named[repeated[0].key]["reason"]
        assert "data is not a" in named[cut[0].key]["reason"]
        assert named[cut[0].key]["followedBy"] == len(cut) - 1
        parked = [row for row in damaged.rows if row["topic"] == topic]
        assert {(row["stream_key"], row["repeated"]) for row in parked} == {
            (repeated[0].key, True),
            (cut[0].key, False),
        }
        assert healthy[0].key not in named


async def test_a_rebuild_sets_the_same_records_aside(damaged: Damaged) -> None:
    assert damaged.rebuilt["outcome"] == "equal"
    assert damaged.rebuilt["differences"] == []


async def test_no_other_stream_is_held_up_by_one_event(damaged: Damaged) -> None:
    keys: Sequence[str] = [events[0].key for events in damaged.healthy]
    assert {damaged.sequences[key] for key in keys} == {EVENTS_EACH}
    assert len(damaged.report["damages"]) == len(DAMAGES) + 2 + 2 * len(damaged.small)
    assert damaged.report["differences"] == []
