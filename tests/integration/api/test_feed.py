"""`GET /v1/events`: exactly what is on the log, whoever reads, however it is read."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from time import perf_counter
from uuid import uuid4

import aiohttp
import pytest

from deploy.local.stack import Stack
from schemas.events import (
    Event,
    InfluencerCreateRequested,
    InfluencerTrainingStarted,
    MediaAssetUploaded,
)
from schemas.ids import Prefix
from services.api.changes import Subject
from services.api.feed_cursor import FeedCursors
from services.api.feed_query import TYPES
from services.core.eventlog.topics import create_topics
from services.core.postgres import Pool, acquire
from services.core.readmodel.quarantine import SkipRequest, skip
from services.core.readmodel.records import StreamId
from tests.bench.histories import history, interleaved
from tests.conftest import database_named, execute
from tests.integration.api.calling import Caller, new_caller
from tests.integration.api.following import (
    Follower,
    Installation,
    following,
    installed,
    of,
    require_the_same,
)
from tests.integration.api.scenes import IDS
from tests.integration.api.serving import serving
from tests.integration.api.streaming import EventReader, Message, streaming, until_waiting
from tests.integration.projector.log import encoded_headers
from tests.integration.projector.test_content import contents
from tests.topics import new_topic_names
from tests.unit.domain.specification import envelope
from tests.unit.domain.test_content import GENERATED, REQUESTED
from tests.unit.samples import TIME
from tests.unit.schemas import versions

WITHIN = 15.0
STREAM = {"Accept": "text/event-stream"}


@pytest.fixture(scope="module")
async def installation(stack: Stack, template_database: str) -> AsyncIterator[Installation]:
    name = f"feed_{uuid4().hex}"
    topics = new_topic_names()
    await create_topics(stack.bootstrap_servers, topics, shard_count=1, replication_factor=1)
    await execute(stack.database_url, f"create database {name} template {template_database}")
    async with installed(stack, database_named(stack.database_url, name), topics) as running:
        yield running
    await execute(stack.database_url, f"drop database {name} with (force)")


@pytest.fixture
async def caller(http: aiohttp.ClientSession, installation: Installation) -> Caller:
    return await new_caller(http, installation.service)


@pytest.fixture
async def stranger(http: aiohttp.ClientSession, installation: Installation) -> Caller:
    return await new_caller(http, installation.service)


def uploads(caller: Caller, count: int) -> list[Event]:
    """Of `count` assets, each a stream of its own."""
    made = []
    for event in list(history())[:1] * count:
        asset_id = IDS.new(Prefix.ASSET)
        data = MediaAssetUploaded(
            asset_id=asset_id,
            kind="image",
            mime_type="image/png",
            size_bytes=9,
            sha256="0" * 64,
            url="/media/a/b/c.png",
            created_at=TIME,
        )
        made.append(replace(event, id=IDS.new(Prefix.EVENT), subject=asset_id, data=data))
    return of(caller, made)


async def written(installation: Installation, caller: Caller, influencers: int) -> list[Event]:
    """The events of that many influencers, in the read models."""
    events = of(caller, interleaved(influencers, at_once=5))
    await installation.log.write(events)
    await installation.projected(caller, len(events))
    return events


async def in_pieces(installation: Installation, events: list[Event], size: int) -> None:
    for start in range(0, len(events), size):
        await installation.log.write(events[start : start + size])


async def test_the_feed_is_the_log_while_two_projectors_fold_it(
    installation: Installation, caller: Caller, stranger: Caller
) -> None:
    events = of(caller, interleaved(120, at_once=40)) + uploads(caller, 30)
    events += of(caller, contents(REQUESTED, GENERATED))
    others = of(stranger, interleaved(40, at_once=40))
    writing = asyncio.create_task(in_pieces(installation, [*events, *others], 25))
    pages, small = Follower(caller), Follower(caller)
    async with asyncio.timeout(60), following(caller) as stream:
        while len(pages.items) < len(events):
            await pages.page(100, Prefer="wait=5")
            await small.page(7)
        streamed = [await stream.next() for _ in events]
    await writing
    await small.to_the_end(99)

    records = await installation.records(caller)
    assert len(records) == len(events)
    require_the_same(records, pages)
    require_the_same(records, small)
    assert sorted(message.data["id"] for message in streamed if message) == sorted(pages.ids)
    again = Follower(caller)
    await again.to_the_end()
    require_the_same(records, again)


async def test_events_come_roughly_by_time_whatever_partition_they_are_in(
    installation: Installation, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.api.feed_query.LOOKED_AT", 5)
    events = at_times(of(caller, interleaved(20, at_once=20)), range(160))
    await installation.log.write(events)
    await installation.projected(caller, len(events))
    every_type = f"&types={','.join(TYPES)}"
    for limit, query in ((3, ""), (100, ""), (3, every_type), (100, every_type)):
        follower = Follower(caller, query)
        await follower.to_the_end(limit)
        assert follower.ids == [event.id for event in events]


async def test_a_clock_that_goes_back_changes_no_order_of_a_stream(
    installation: Installation, caller: Caller
) -> None:
    streams = [at_times(of(caller, history()), range(100, 92, -1)) for _ in range(6)]
    await installation.log.write([event for stream in streams for event in stream])
    await installation.projected(caller, 48)
    for limit in (1, 5):
        follower = Follower(caller)
        await follower.to_the_end(limit)
        for stream in streams:
            told = [item["id"] for item in follower.items if item["subject"] == stream[0].subject]
            assert told == [event.id for event in stream]


def at_times(events: Iterable[Event], seconds: Iterable[int]) -> list[Event]:
    return [
        replace(event, time=f"2026-11-24T09:{second // 60:02d}:{second % 60:02d}.000Z")
        for event, second in zip(events, seconds, strict=True)
    ]


async def test_what_the_api_appends_is_in_the_feed_also_of_what_was_deleted(
    installation: Installation, caller: Caller
) -> None:
    created = await caller.create(influencerId=IDS.new(Prefix.INFLUENCER))
    path = f"/v1/influencers/{created['influencerId']}"
    assert (await caller.delete(path, {"reason": "ended"})).status == 200
    assert (await caller.get(path)).code == "NOT_FOUND"
    follower = Follower(caller)
    async with asyncio.timeout(WITHIN):
        while len(follower.items) < 3:
            await follower.page(Prefer="wait=10")
    assert [item["type"] for item in follower.items] == [
        "InfluencerCreateRequested",
        "JobCanceled",
        "InfluencerDeleted",
    ]
    assert [item["sequence"] for item in follower.items] == ["1", "2", "3"]
    assert {item["subject"] for item in follower.items} == {created["influencerId"]}
    assert follower.items[0]["correlationid"] == created["jobId"]
    assert follower.items[2]["data"] == {"reason": "ended"}


async def test_a_feed_has_no_end_and_may_begin_now(
    installation: Installation, caller: Caller
) -> None:
    nothing = await caller.get("/v1/events")
    assert nothing.headers["Cache-Control"] == "private, no-cache"
    assert nothing.headers["Vary"] == "X-Api-Key, Authorization"
    assert (nothing.json["items"], nothing.json["hasMore"]) == ([], False)
    before = await written(installation, caller, 1)
    now, first = Follower(caller, cursor="latest"), Follower(caller)
    assert (await now.page()).json["hasMore"] is False
    first.cursor = nothing.json["nextCursor"]
    await first.to_the_end(2)
    assert now.ids == []
    after = await written(installation, caller, 2)
    await now.to_the_end()
    assert sorted(now.ids) == sorted(event.id for event in after)
    await first.to_the_end()
    assert len(first.ids) == len({*first.ids}) == len(before) + len(after)


async def test_only_what_is_asked_for_and_a_bounded_look_at_the_rest(
    installation: Installation, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.api.feed_query.LOOKED_AT", 3)
    events = await written(installation, caller, 12)
    elsewhere = str(uuid4())
    moved = [replace(event, project_id=elsewhere) for event in of(caller, interleaved(3))]
    await installation.log.write(moved)
    await installation.projected(caller, len(events) + len(moved))

    ready = Follower(caller, "&types=InfluencerReady,InfluencerUpdated")
    await ready.to_the_end()
    types = ("InfluencerReady", "InfluencerUpdated")
    assert sorted(ready.ids) == sorted(e.id for e in [*events, *moved] if e.type in types)
    assert {item["type"] for item in ready.items} == set(types)
    assert len(ready.bodies) > 2  # each looks at few
    of_project = Follower(caller, f"&projectId={elsewhere.upper()}")
    await of_project.to_the_end()
    assert sorted(of_project.ids) == sorted(event.id for event in moved)
    both = Follower(caller, f"&projectId={elsewhere}&types=InfluencerReady")
    await both.to_the_end(1)
    assert len(both.ids) == 3
    none = Follower(caller, f"&projectId={uuid4()}")
    assert await none.to_the_end() == []
    none.query = ""  # where it got to is a place for any filter
    assert await none.to_the_end() == []


async def test_every_fault_of_the_query_is_told(caller: Caller) -> None:
    wrong = await caller.get("/v1/events?types=InfluencerReady,Nothing&projectId=x&limit=0&after=x")
    assert wrong.field_errors.keys() == {"types", "projectId", "limit", "after"}
    for query in ("types=", "after=", "limit=101", "types=InfluencerReady,"):
        assert list((await caller.get(f"/v1/events?{query}")).field_errors) == [
            query.partition("=")[0]
        ]


async def test_a_cursor_is_of_one_organization_and_not_to_be_made_up(
    installation: Installation, caller: Caller, stranger: Caller
) -> None:
    await written(installation, caller, 2)
    own = await written(installation, stranger, 1)
    follower = Follower(stranger)
    await follower.to_the_end()
    assert sorted(follower.ids) == sorted(event.id for event in own)
    cursor = follower.cursor
    assert cursor
    tampered = cursor[:-1] + ("A" if cursor[-1] != "A" else "E")
    forged = FeedCursors(b"guessed", installation.log.names.events).text(caller.organization_id, {})
    for wrong in (cursor, tampered, cursor[:-4], forged):
        answer = await caller.get(f"/v1/events?after={wrong}")
        assert list(answer.field_errors) == ["after"]
        streamed = await caller.get("/v1/events", Accept="text/event-stream", Last_Event_ID=wrong)
        assert list(streamed.field_errors) == ["after"]


async def test_a_cursor_of_another_log_is_told_from_one_that_is_ahead(
    installation: Installation, http: aiohttp.ClientSession, caller: Caller, database_url: str
) -> None:
    events = await written(installation, caller, 8)
    follower = Follower(caller)
    await follower.to_the_end()
    path = f"/v1/events?after={follower.cursor}"
    async with serving(database_url, topics=installation.log.names) as elsewhere:
        await copy_of_key(installation.pool, elsewhere.pool, caller)
        there = caller.at(elsewhere)
        restoring = await there.get(path)
        assert (restoring.code, restoring.headers["Retry-After"]) == ("UNAVAILABLE", "1")
        offsets = "select topic, partition, 1000 from read_model.projection_offsets"
        for row in await installation.pool.fetch(offsets):
            await elsewhere.pool.execute(
                "insert into read_model.projection_offsets values ($1, $2, $3)", *row
            )
        imported = await there.get(path)
        assert "another log" in imported.field_errors["after"][0]
        assert (await there.get("/v1/events")).json["items"] == []
    assert (await caller.get(path)).json["items"] == []
    assert len(follower.ids) == len(events)


async def copy_of_key(source: Pool, target: Pool, caller: Caller) -> None:
    for table, column, value in (
        ("organizations", "organization_id", caller.organization_id),
        ("api_keys", "key_id", caller.key_id),
    ):
        row = await source.fetchrow(f"select * from control.{table} where {column} = $1", value)
        assert row is not None
        names = ", ".join(row.keys())
        places = ", ".join(f"${n}" for n, _ in enumerate(row, 1))
        await target.execute(f"insert into control.{table} ({names}) values ({places})", *row)


async def test_a_read_that_waits_hears_of_the_next_event_at_once(
    installation: Installation, caller: Caller, stranger: Caller
) -> None:
    await written(installation, caller, 1)
    follower = Follower(caller)
    await follower.to_the_end()
    readers = [replace(follower, items=[], bodies=[]) for _ in range(20)]
    filtered = replace(follower, query="&types=InfluencerReady", items=[], bodies=[])
    reads = [asyncio.create_task(one.page(Prefer="wait=30")) for one in (*readers, filtered)]
    await until_waiting(installation.service, len(reads))
    assert installation.service.changes.watched == 1
    await written(installation, stranger, 1)
    assert not any(read.done() for read in reads)

    [created, *later] = of(caller, history())
    await installation.log.write([created])
    async with asyncio.timeout(WITHIN):
        answers = await asyncio.gather(*reads[:-1])
    assert [[item["id"] for item in answer.json["items"]] for answer in answers] == (
        [[created.id]] * len(readers)
    )
    assert {answer.headers["Preference-Applied"] for answer in answers} == {"wait=30"}
    await installation.log.write(later)
    async with asyncio.timeout(WITHIN):
        await reads[-1]
    assert {item["type"] for item in filtered.items} == {"InfluencerReady"}


async def test_what_the_projector_names_is_heard_of_by_whoever_waits_for_it(
    installation: Installation, caller: Caller
) -> None:
    created = await caller.create()
    influencer_id, job_id = created["influencerId"], created["jobId"]
    async with asyncio.timeout(WITHIN), streaming(caller, job_id) as stream:
        assert await stream.next()
        reads = []
        for path in (f"/v1/jobs/{job_id}", f"/v1/influencers/{influencer_id}"):
            etag = (await caller.get(path)).headers["ETag"]
            read = caller.get(path, Prefer="wait=30", If_None_Match=etag)
            reads.append(asyncio.create_task(read))
        await until_waiting(installation.service, 3)
        started = InfluencerTrainingStarted(job_id=job_id, backend="drawing", attempt=1)
        event = replace(envelope(started, 2, influencer_id), id=IDS.new(Prefix.EVENT))
        await installation.log.write(of(caller, [event]))
        assert [answer.status for answer in await asyncio.gather(*reads)] == [200, 200]
        message = await stream.next()
        assert message
        assert message.id == event.id


async def test_who_begins_to_wait_after_a_change_is_told_of_it(
    installation: Installation, caller: Caller
) -> None:
    event = (await written(installation, caller, 1))[0]
    changes = installation.service.changes
    async with asyncio.timeout(WITHIN):
        for subject in (
            Subject("feed", caller.organization_id, ""),
            Subject("history", caller.organization_id, event.subject),
            Subject("influencer", caller.organization_id, event.subject),
        ):
            await changes.beyond(subject, 0)


async def test_a_wait_in_vain_is_answered_with_nothing(
    installation: Installation, caller: Caller
) -> None:
    await written(installation, caller, 1)
    started = perf_counter()
    follower = Follower(caller, "&types=InfluencerFailed")
    answer = await follower.page(Prefer="wait=1")
    assert 0.9 < perf_counter() - started < 5
    assert (answer.json["items"], answer.json["hasMore"]) == ([], False)
    follower.query = ""
    assert await follower.to_the_end() == []  # it has passed what it did not ask for


async def test_a_stream_resumes_behind_any_event_without_gap_or_repeat(
    installation: Installation, caller: Caller
) -> None:
    events = of(caller, interleaved(3, at_once=3))
    await installation.log.write(events[:10])
    async with asyncio.timeout(WITHIN):
        async with following(caller) as stream:
            assert stream.response.headers["Content-Type"].startswith("text/event-stream")
            assert stream.response.headers["Cache-Control"] == "private, no-cache"
            assert stream.response.headers["Vary"] == "X-Api-Key, Authorization"
            seen = await taken(stream, 10)
            assert stream.retry == 3000
        await installation.log.write(events[10:])
        await installation.projected(caller, len(events))
        for last in range(10):
            cursor = seen[last].id
            async with following(caller, "?after=latest", Last_Event_ID=cursor or "") as resumed:
                rest = await taken(resumed, len(events) - last - 1)
            told = [message.data["id"] for message in [*seen[: last + 1], *rest]]
            assert sorted(told) == sorted(event.id for event in events)
        page = await caller.get(f"/v1/events?after={seen[-1].id}")
        assert len(page.json["items"]) == len(events) - 10


async def taken(stream: EventReader, count: int) -> list[Message]:
    messages = [await stream.next() for _ in range(count)]
    return [message for message in messages if message]


async def test_a_stream_that_began_now_misses_nothing_though_nothing_came(
    installation: Installation, caller: Caller
) -> None:
    await written(installation, caller, 1)
    async with asyncio.timeout(WITHIN):
        async with following(caller, "?after=latest") as stream:
            lines = [await stream.response.content.readline() for _ in range(3)]
        [*_, told] = lines
        cursor = told.decode().removeprefix("id: ").rstrip()
        event = (await written(installation, caller, 1))[0]
        async with following(caller, "?after=latest", Last_Event_ID=cursor) as resumed:
            [message] = await taken(resumed, 1)
    assert (message.event, message.data["id"]) == (event.type, event.id)


async def test_a_filtered_stream_remembers_what_it_left_out(
    installation: Installation, caller: Caller
) -> None:
    events = await written(installation, caller, 2)
    ready = [event.id for event in events if event.type == "InfluencerReady"]
    async with asyncio.timeout(WITHIN), following(caller, "?types=InfluencerReady") as stream:
        messages = await taken(stream, 2)
        line = b""
        while not line.startswith(b"id: "):
            line = await stream.response.content.readline()
    assert sorted(message.data["id"] for message in messages) == sorted(ready)
    behind = Follower(caller, cursor=line.decode().removeprefix("id: ").rstrip())
    assert await behind.to_the_end() == []


async def test_streams_are_let_go_at_a_stop_and_bounded(
    installation: Installation, http: aiohttp.ClientSession, database_url: str
) -> None:
    async with asyncio.timeout(WITHIN):
        async with serving(database_url, topics=installation.log.names, streams=1) as own:
            caller = await new_caller(http, own)
            assert (await caller.send("HEAD", "/v1/events", headers=STREAM)).status == 200
            opened = following(caller)
            stream = await opened.__aenter__()
            await until_waiting(own, 1)
            refused = await caller.get("/v1/events", **STREAM)
            assert (refused.code, refused.headers["Retry-After"]) == ("UNAVAILABLE", "1")
        assert await stream.rest() == []


async def test_what_waits_in_quarantine_is_in_the_feed_in_its_place(
    installation: Installation, caller: Caller, stranger: Caller
) -> None:
    """Also once it is applied, or skipped: no cursor is past an event that it was not told."""
    [first, second, third, *_] = of(caller, history())
    [other, *_] = of(caller, history())
    headers = dict(encoded_headers(second)) | {"ce_type": b"InfluencerTattooed"}
    partition = 5
    await installation.log.write([first], partition)
    key = second.key.encode()
    await installation.log.write_raw(key, b'{"new": [1.0]}', list(headers.items()), partition)
    await installation.log.write_raw(key, b'{"trunca', list(headers.items()), partition)
    await installation.log.write_raw(key, b"{}", (), partition)
    await installation.log.write([third], partition)
    await installation.log.write([other])
    await installation.projected(caller, 6)

    follower = Follower(caller)
    await follower.to_the_end(1)
    own = [item for item in follower.items if item["subject"] == first.subject]
    assert [item["id"] for item in own] == [first.id, second.id, third.id]
    assert own[1]["type"] == "InfluencerTattooed"
    assert b'"data":{"new": [1.0]}' in b"".join(follower.bodies)
    assert len(follower.ids) == 4
    filtered = Follower(caller, f"&types={third.type}")
    await filtered.to_the_end()
    assert filtered.ids == [third.id]
    waiting = asyncio.create_task(follower.page(Prefer="wait=30"))
    await until_waiting(installation.service, 1)  # and asks no more for what is no event

    stream = StreamId(installation.log.names.influencer, first.key)
    async with acquire(installation.pool) as connection:
        for _ in range(3):
            async with connection.transaction():
                await skip(connection, stream, SkipRequest("of the future", "test", 2))
    assert not await installation.pool.fetchval(
        "select count(*) from read_model.quarantine where stream_key = $1", first.key
    )
    [later] = of(caller, history())[:1]
    await installation.log.write([later])
    async with asyncio.timeout(WITHIN):
        await waiting
    assert len(follower.ids) == len({*follower.ids}) == 5
    again = Follower(caller)
    await again.to_the_end()
    assert sorted(again.ids) == sorted(follower.ids)
    assert (await stranger.get("/v1/events")).json["items"] == []


@pytest.mark.parametrize(("begun", "expected"), [(1, 200), (2, 422), (3, 422)])
async def test_one_place_whose_record_went_with_the_quarantine_is_excused(
    installation: Installation, caller: Caller, begun: int, expected: int
) -> None:
    """A record that was on the log twice waits, is passed over, and is gone."""
    for partition in range(begun):
        events = of(caller, history())
        await installation.log.write(events[:2], partition)
    await installation.projected(caller, 2 * begun)
    follower = Follower(caller)
    await follower.to_the_end()
    await installation.pool.execute(
        "delete from read_model.events e where organization_id = $1 and record_offset ="
        " (select max(record_offset) from read_model.events where topic = e.topic"
        "  and partition = e.partition and organization_id = $1)",
        caller.organization_id,
    )
    answer = await caller.get(f"/v1/events?after={follower.cursor}")
    assert answer.status == expected


async def test_an_event_of_an_older_version_is_told_as_it_stands_on_the_log(
    installation: Installation, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions.register(monkeypatch)
    [created, *_] = of(caller, history())
    assert isinstance(created.data, InfluencerCreateRequested)
    old = versions.old_value(created.data)
    headers = [(name, text.encode()) for name, text in versions.old_headers(created).items()]
    await installation.log.write_raw(created.key.encode(), old, headers, 3)
    await installation.projected(caller, 1)
    follower = Follower(caller)
    [item] = await follower.to_the_end()
    assert item["dataschema"] == "/schemas/events/InfluencerCreateRequested/1.json"
    require_the_same(await installation.records(caller), follower)
