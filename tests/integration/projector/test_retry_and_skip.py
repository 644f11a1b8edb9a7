"""`influencerctl quarantine`: what was parked is applied again, in order, or given up for good."""

from typing import Any

import pytest

from deploy.local.stack import Stack
from schemas.events import Event, value_of
from services.core.eventlog.topics import TopicNames
from services.core.postgres import Pool, acquire
from services.core.readmodel import apply as projection
from services.core.readmodel.positions import Move, Partition, PositionMoved, read_positions
from services.core.readmodel.project import Batch, commit, fold
from services.core.readmodel.quarantine import retry
from services.core.readmodel.rebuild import swapping
from services.core.readmodel.rebuild.shadow import fingerprint
from services.core.readmodel.recent import RecentStates
from services.core.readmodel.records import StreamId, read_record
from services.projector.projector import Projector
from tests.bench.histories import history
from tests.integration.ops.installation import Installation
from tests.integration.projector.log import Log, encoded_headers
from tests.integration.projector.models import ReadModels
from tests.integration.projector.test_content import contents
from tests.unit.domain.test_content import CANCELED, GENERATED, REQUESTED
from tests.unit.readmodel.specification import Raw
from tests.waiting import eventually

PARTITION = 3
EMPTY = """
truncate read_model.influencers, read_model.jobs, read_model.events, read_model.media_assets,
    read_model.quarantine
"""
START_ANEW = "update read_model.projection_offsets set next_offset = 0"


class Bug:
    """Nothing of the streams in `of` can be applied while it is there, from a sequence on."""

    def __init__(self) -> None:
        self.of: set[str] = set()
        self.since = 1


@pytest.fixture
def bug(monkeypatch: pytest.MonkeyPatch) -> Bug:
    found, advance = Bug(), projection._advance

    def buggy(key: str, event: Event, *rest: object) -> None:
        if key in found.of and event.sequence >= found.since:
            raise KeyError("nobody thought of this")
        advance(key, event, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(projection, "_advance", buggy)
    return found


@pytest.fixture
def here(stack: Stack, database_url: str, topics: TopicNames) -> Installation:
    return Installation(database_url, stack.bootstrap_servers, topics)


async def test_after_the_fix_everything_is_applied_in_order(
    projector: Projector, bug: Bug, log: Log, models: ReadModels, here: Installation
) -> None:
    ill, other, healthy = list(history()), list(history()), list(history())
    await log.write([ill[0], other[0], healthy[0]], PARTITION)
    await models.has_rows("events", 3)
    bug.of = {ill[0].key, other[0].key}
    await log.write([*ill[1:5], *other[1:], *healthy[1:]], PARTITION)
    await models.has_rows("quarantine", 4 + 7)

    listed = await here.ctl("quarantine", "list", "--json")
    assert listed.status == 1
    assert {row["stream"]: row["records"] for row in listed.json["streams"]} == {
        ill[0].key: 4,
        other[0].key: 7,
    }
    assert {row["reason"] for row in listed.json["streams"]} == {
        "KeyError: 'nobody thought of this'"
    }
    shown = await here.ctl("quarantine", "show", ill[0].subject, "--json")
    assert [record["id"] for record in shown.json["parked"]] == [event.id for event in ill[1:5]]
    for people in (("list",), ("show", ill[0].subject)):
        assert "nobody thought of this" in (await here.ctl("quarantine", *people)).out

    still = await here.ctl("quarantine", "retry", ill[0].subject, "--yes", "--json")
    assert (still.status, still.json["streams"][0]["remaining"]) == (1, 4)
    bug.of = set()
    dry = await here.ctl("quarantine", "retry", ill[0].subject, "--dry-run", "--json")
    assert (dry.status, dry.json["streams"][0]["applied"]) == (0, 4)
    declined = await here.ctl("quarantine", "retry", ill[0].subject, typed="n\n")
    assert declined.status == 1
    await models.has_rows("quarantine", 4 + 7)

    done = await here.ctl("quarantine", "retry", "--all", "--yes", "--json")
    assert done.status == 0
    assert sorted(row["applied"] for row in done.json["streams"]) == [4, 7]
    await log.write(ill[5:], PARTITION)
    await models.has_rows("events", 24)
    await models.assert_equal_a_fold_of([*ill, *other, *healthy])
    assert (await here.ctl("quarantine", "list")).status == 0
    again = await here.ctl("quarantine", "retry", ill[0].subject, "--yes")
    assert (again.status, again.err.count("\n")) == (1, 1)


async def test_retry_stops_at_the_first_that_still_fails(
    projector: Projector, bug: Bug, log: Log, models: ReadModels, here: Installation
) -> None:
    ill = list(history())
    bug.of = {ill[0].key}
    await log.write(ill[:2], PARTITION)
    unwritable = value_of(ill[7])[:-1] + rb',"later": "\u0000"}'
    await log.write_raw(ill[2].key.encode(), unwritable, encoded_headers(ill[2]), PARTITION)
    await log.write(ill[3:5], PARTITION)
    await models.has_rows("quarantine", 5)
    bug.of = set()
    done = await here.ctl("quarantine", "retry", ill[0].subject, "--yes", "--json")
    assert done.status == 1
    assert done.json["streams"][0]["applied"] == 2
    assert done.json["streams"][0]["remaining"] == 3
    assert await models.sequences() == {ill[0].key: 2}
    rows = await models.quarantine()
    assert [row["record_offset"] for row in rows] == sorted(row["record_offset"] for row in rows)
    assert rows[0]["reason"] == done.json["streams"][0]["reason"]
    await log.write(ill[5:6], PARTITION)
    await models.has_rows("quarantine", 4)


async def test_a_batch_that_was_folded_before_the_retry_is_folded_anew(
    pool: Pool, bug: Bug, models: ReadModels
) -> None:
    ill = list(history())
    place, stream = Partition("t", 0), StreamId("t", ill[0].key)
    batches = [batch_of(ill[:3], place, 0), batch_of(ill[3:], place, 3)]
    async with acquire(pool) as connection, acquire(pool) as operator:
        await read_positions(connection, [place])
        bug.of = {ill[0].key}
        await commit(connection, batches[0], await fold(connection, batches[0], RecentStates()))
        bug.of = set()
        folded = await fold(connection, batches[1], RecentStates())
        async with operator.transaction():
            assert (await retry(operator, stream)).applied == 3
        with pytest.raises(PositionMoved):
            await commit(connection, batches[1], folded)
        await commit(connection, batches[1], await fold(connection, batches[1], RecentStates()))
    assert await models.sequences() == {ill[0].key: len(ill)}
    assert not await models.quarantine()


def batch_of(events: list[Event], place: Partition, start: int) -> Batch:
    records = [
        read_record(
            Raw(event.key.encode(), value_of(event), encoded_headers(event), start + n, *place)
        )
        for n, event in enumerate(events)
    ]
    return Batch(records, {place: Move(start, start + len(events))})


async def test_a_skip_is_recorded_and_every_later_fold_knows_it(
    projector: Projector, log: Log, models: ReadModels, here: Installation
) -> None:
    ill = list(history())
    await log.write(ill[:7], PARTITION)
    await log.write_raw(ill[7].key.encode(), b"{", encoded_headers(ill[7]), PARTITION)
    await log.write_raw(ill[0].key.encode(), None, [], PARTITION)
    renamed = [*history()][7]
    for sequence in (9, 10):
        renamed.id, renamed.subject, renamed.sequence = f"evt_{sequence}", ill[0].subject, sequence
        renamed.organization_id = ill[0].organization_id
        await log.write([renamed], PARTITION)
    await models.has_rows("quarantine", 4)

    skip = ("quarantine", "skip", ill[0].subject, "--by", "ann", "--reason", "cut off in transit")
    dry = await here.ctl(*skip, "--dry-run", "--json")
    assert (dry.status, dry.json["sequenceAfter"], dry.json["applied"]) == (1, 8, 0)
    declined = await here.ctl(*skip, typed="n\n")
    assert (declined.status, "goes on after sequence 8" in declined.err) == (1, True)
    assert (await here.ctl("quarantine", "skip", ill[0].subject, "--reason", " ")).status == 2
    assert (await here.ctl("quarantine", "list", "--skipped", "--json")).json == {"skipped": []}

    first = await here.ctl(*skip, "--yes", "--json")
    assert (first.status, first.json["remaining"]) == (1, 3), first
    second = await here.ctl(*skip, "--yes", "--json")
    assert (second.json["sequenceAfter"], second.json["applied"]) == (8, 2)
    assert await models.sequences() == {ill[0].key: 10}
    assert not await models.quarantine()

    skipped = (await here.ctl("quarantine", "list", "--skipped", "--json")).json["skipped"]
    assert [record["skippedBy"] for record in skipped] == ["ann", "ann"]
    assert skipped[0]["skippedBecause"] == "cut off in transit"
    assert "data is not a" in skipped[0]["reason"]
    assert (skipped[0]["sequence"], skipped[0]["data"]) == ("8", "{")
    assert "cut off in transit" in (await here.ctl("quarantine", "show", ill[0].subject)).out

    before = await models.fetch("select * from read_model.influencers")
    await models.fetch(EMPTY)
    await models.fetch(START_ANEW)
    healthy = list(history())
    await log.write(healthy, PARTITION)
    await models.has_rows("events", len(healthy) + 9)
    assert not await models.quarantine()
    after = await models.fetch(
        "select * from read_model.influencers where influencer_id = $1", ill[0].subject
    )
    assert after == before
    rebuilt = await here.ctl("rebuild", "--dry-run", "--json")
    assert rebuilt.status == 0, rebuilt


async def test_a_hole_is_given_up_where_the_operator_says_so(
    projector: Projector, log: Log, models: ReadModels, here: Installation, pool: Pool
) -> None:
    ill = list(history())
    await log.write([ill[0], ill[3]], PARTITION)
    await models.has_rows("quarantine", 1)
    skip = ("quarantine", "skip", ill[0].subject, "--reason", "lost", "--yes", "--json")
    unclear = await here.ctl(*skip)
    assert (unclear.status, unclear.err.count("\n")) == (2, 1)
    assert "says that it is number 4, 2 is expected: say with --sequence" in unclear.err
    async with acquire(pool) as connection:
        before = await fingerprint(connection)
        assert (await here.ctl(*skip, "--sequence", "4")).json["sequenceAfter"] == 4
        assert await fingerprint(connection) != before  # a rebuild half-way must start over
    await log.write([ill[7]], PARTITION)
    await models.has_rows("quarantine", 1)
    assert await models.sequences() == {ill[0].key: 4}


async def test_streams_of_content_and_media(
    projector: Projector, log: Log, models: ReadModels, here: Installation
) -> None:
    requested, cut, canceled = contents(REQUESTED, GENERATED, CANCELED)
    topic = log.names.events[2]
    await log.write([requested], PARTITION)
    await log.write_raw(cut.key.encode(), b"{", encoded_headers(cut), PARTITION, topic)
    await log.write([canceled], PARTITION)
    asset = f"{requested.organization_id}/ast_01HXZ9G7KMV2QX8Y1S5RJW3B7T"
    await log.write_raw(asset.encode(), b"{", [], PARTITION, log.names.media)
    await models.has_rows("quarantine", 3)

    why = ("--reason", "cut off", "--yes", "--json")
    content = await here.ctl("quarantine", "skip", cut.subject, *why)
    assert (content.status, content.json["sequenceAfter"], content.json["applied"]) == (0, 2, 1)
    (job,) = await models.fetch("select * from read_model.jobs")
    assert (job["status"], job["sequence"]) == ("canceled", 3)
    media = await here.ctl("quarantine", "skip", asset, "--topic", "media", *why)
    assert (media.status, media.json["remaining"]) == (0, 0)
    assert not await models.quarantine()


async def test_a_record_without_a_key_can_be_skipped(
    projector: Projector, log: Log, models: ReadModels, here: Installation
) -> None:
    await log.write_raw(None, b"?", [("x", b"\xff")], PARTITION)
    await log.write_raw(b"\xfe", None, [("y", None)], PARTITION)
    await models.has_rows("quarantine", 2)

    async def nothing_is_left() -> bool:
        return not await models.quarantine()

    for named in ("", "\\xfe"):
        assert (await here.ctl("quarantine", "show", named)).status == 0
        answer = await here.ctl("quarantine", "skip", named, "--reason", "foreign", "--yes")
        assert answer.status == 0, answer
    await eventually("both are gone", nothing_is_left)
    await models.fetch(START_ANEW)
    events = list(history())
    await log.write(events, PARTITION)
    await models.has_rows("events", len(events))
    assert not await models.quarantine()


async def test_a_repeated_event_holds_nothing_up_and_can_be_skipped(
    projector: Projector, log: Log, models: ReadModels, here: Installation
) -> None:
    events = list(history())
    await log.write([*events[:5], events[2], *events[5:]], PARTITION)
    await models.has_rows("events", len(events))
    await models.has_rows("quarantine", 1)
    listed = await here.ctl("quarantine", "list", "--json")
    assert listed.status == 1
    assert [(s["repeated"], s["records"]) for s in listed.json["streams"]] == [(True, 1)]
    retried = await here.ctl("quarantine", "retry", "--all", "--yes", "--json")
    assert (retried.status, retried.json["streams"]) == (0, [])

    skipped = await here.ctl(
        "quarantine", "skip", events[0].subject, "--reason", "seen", "--yes", "--json"
    )
    assert (skipped.status, skipped.json["sequenceAfter"]) == (0, 3)
    told = await here.ctl("history", events[0].subject, "--json")
    assert (told.status, told.json["sequence"]) == (0, len(events))
    assert [step["note"] for step in told.json["events"]].index("skipped") == 5
    assert not await models.quarantine()
    rebuilt = await here.ctl("rebuild", "--dry-run", "--json")
    assert (rebuilt.status, rebuilt.json["differences"]) == (0, [])


async def test_a_retry_sets_a_repeated_event_aside(
    projector: Projector, bug: Bug, log: Log, models: ReadModels, here: Installation
) -> None:
    events = list(history())
    bug.of = {events[0].key}
    await log.write([*events[:5], events[2], *events[5:]], PARTITION)
    await models.has_rows("quarantine", len(events) + 1)
    bug.of = set()
    retried = await here.ctl("quarantine", "retry", "--all", "--yes", "--json")
    (settled,) = retried.json["streams"]
    assert (retried.status, settled["repeated"], settled["remaining"]) == (0, 1, 0)
    assert settled["applied"] == len(events)
    assert [row["repeated"] for row in await models.quarantine()] == [True]


@pytest.mark.parametrize("action", ["retry", "skip"])
async def test_what_is_freed_between_comparison_and_swap_stays_free(
    action: str,
    projector: Projector,
    bug: Bug,
    log: Log,
    models: ReadModels,
    here: Installation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events = list(history())
    key = events[0].key
    await log.write(events[:2], PARTITION)
    await models.has_rows("events", 2)
    bug.of, bug.since = ({key} if action == "retry" else set()), 3
    if action == "skip":
        await log.write_raw(key.encode(), b"hello", [], PARTITION)
    await log.write(events[2:], PARTITION)
    await models.has_rows("quarantine", len(events) - 2 + (action == "skip"))
    command = ("retry", key) if action == "retry" else ("skip", key, "--reason", "foreign")
    arm = swapping.arm
    armed: list[str] = []

    async def freed_first(*arguments: Any) -> None:
        if not armed:
            bug.of = set()
            freed = await here.ctl("quarantine", *command, "--yes")
            assert freed.status == 0, freed
        armed.append(action)
        await arm(*arguments)

    monkeypatch.setattr(swapping, "arm", freed_first)
    answer = await here.ctl("rebuild", "--yes", "--json")
    assert (answer.status, answer.json["outcome"]) == (0, "swapped"), answer
    assert len(armed) == 2
    assert not await models.quarantine()
    await models.has_rows("events", len(events))
    assert (await here.ctl("rebuild", "--dry-run")).status == 0
