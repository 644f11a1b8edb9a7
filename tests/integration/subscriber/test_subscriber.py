"""The library against a real log: where it begins, how it waits, and how it tells of itself."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer

from deploy.local.stack import Stack
from schemas.events import Event, EventData, decode, headers_of, value_of
from services.core.eventlog.topics import TopicNames
from services.core.postgres import Pool, acquire
from services.core.subscriber import (
    FaultKind,
    Health,
    MemoryStore,
    Partition,
    Poison,
    Received,
    RetryPolicy,
    SqliteStore,
    Start,
    Store,
    StreamKey,
    Subscriber,
    TryLater,
    read_events,
)
from services.core.subscriber import subscriber as subscriber_module
from services.core.subscriber.postgres_store import PostgresStore
from services.core.subscriber.records import Headers
from tests.bench.histories import history, interleaved
from tests.integration.projector.log import Log
from tests.integration.subscriber.notebook import Notebook
from tests.reading import by_key
from tests.waiting import eventually

CUT_OTHERS = """
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid()
"""


@pytest.fixture(params=["sqlite", "postgres"])
async def store(request: pytest.FixtureRequest, pool: Pool, tmp_path: Path) -> Store[Any]:
    if request.param == "postgres":
        made = PostgresStore(pool)
        await made.create_tables()
        return made
    return SqliteStore(tmp_path / "store.db")


def stream_of(topics: TopicNames, event: Event) -> StreamKey:
    return StreamKey(topics.influencer, event.key)


async def until_assigned(subscriber: Subscriber[Any]) -> None:
    async def is_assigned() -> bool:
        return bool(subscriber.status.assigned)

    await eventually("an assignment", is_assigned)


async def test_from_the_beginning_again_and_one_stream_again(
    stack: Stack, topics: TopicNames, log: Log, store: Store[Any]
) -> None:
    events = list(interleaved(20, at_once=10))
    book = Notebook(stack, topics, store, max_records=30)
    one = [event for event in events if event.key == events[0].key]
    async with book.subscriber as subscriber:
        await log.write(events)
        await book.has(events)
        assert by_key(book.got) == by_key(events)

        book.got.clear()
        await subscriber.rewind(Start.beginning())
        await book.has(events)
        assert by_key(book.got) == by_key(events)

        book.got.clear()
        assert await subscriber.replay(stream_of(topics, one[0])) == len(one)
        await book.has(one)
        assert book.got == one
    assert subscriber.status.health is Health.STOPPED


async def test_a_stream_is_parked_tried_again_and_skipped(
    stack: Stack, topics: TopicNames, log: Log, store: Store[Any]
) -> None:
    ill, poisoned, healthy = list(history()), list(history()), list(history())
    book = Notebook(stack, topics, store, retries=RetryPolicy((0.1, 0.1, 0.1)))
    attempts = 0

    def refuse(event: Event) -> None:
        nonlocal attempts
        if event.id == ill[2].id and attempts < 2:
            attempts += 1
            raise RuntimeError("not yet")
        if event.id == poisoned[3].id:
            raise Poison("never")

    book.refuse = refuse
    expected = [*ill, *healthy, *poisoned[:3]]
    async with book.subscriber as subscriber:
        await log.write([e for events in zip(ill, poisoned, healthy, strict=True) for e in events])
        await book.has(expected)
        (parked,) = await subscriber.parking.streams()
        assert parked.stream == stream_of(topics, poisoned[0])
        await subscriber.parking.skip(parked.stream, "a test")
        await book.has([*expected, *poisoned[4:]])
        assert not await subscriber.parking.streams()
    assert by_key(book.got)[ill[0].key] == ill


async def test_where_it_begins(stack: Stack, topics: TopicNames, log: Log) -> None:
    before, after = list(history()), list(history())
    await log.write(before, partition=0)
    newest = (await settled(stack, topics, len(before)))[-1]
    moment = datetime.fromtimestamp(newest.record.timestamp / 1000 + 0.001, UTC)
    await log.write(after, partition=0)
    offset = Start.at({Partition(topics.influencer, 0): newest.record.offset})

    for start, expected in (
        (Start.time(moment), after),
        (offset, [newest.event, *after]),
        (Start.time(moment + timedelta(days=1)), []),
        (Start.end(), []),
    ):
        book = Notebook(stack, topics, MemoryStore(), start=start)
        async with book.subscriber as subscriber:
            await until_assigned(subscriber)
            await book.has(expected)
            if not expected:
                later = list(history())
                await log.write(later, partition=0)
                await book.has(later)
                after = [*after, *later]
    with pytest.raises(ValueError, match="no time zone"):
        Start.time(datetime(2026, 1, 1))


async def test_reading_one_stream_without_a_group(
    stack: Stack, topics: TopicNames, log: Log
) -> None:
    events = list(interleaved(10, at_once=10))
    await log.write(events)
    await settled(stack, topics, len(events))
    stream = stream_of(topics, events[0])
    read = [one.event async for one in read_events(stack.bootstrap_servers, [], stream=stream)]
    assert read == [event for event in events if event.key == events[0].key]


async def settled(stack: Stack, topics: TopicNames, count: int) -> list[Received[EventData]]:
    """That many events: a committed transaction is not readable before its markers are written."""

    async def read() -> list[Received[EventData]] | None:
        reading = read_events(stack.bootstrap_servers, [topics.influencer])
        found = [one async for one in reading]
        return found if len(found) == count else None

    return await eventually(f"{count} events", read)


async def test_everything_waits_for_what_all_need(
    stack: Stack, topics: TopicNames, log: Log
) -> None:
    events = list(history())
    book = Notebook(stack, topics, MemoryStore())
    is_away = True

    def refuse(event: Event) -> None:
        if is_away:
            raise TryLater("the mail server is away")

    book.refuse = refuse
    async with book.subscriber as subscriber:
        await log.write(events)

        async def says_so() -> bool:
            return "the mail server is away" in (subscriber.status.fault or "")

        await eventually("the fault to be told", says_so)
        assert subscriber.status.health is Health.LAGGING
        is_away = False
        await book.has(events)
        assert not await subscriber.parking.streams()

        async def is_fresh() -> bool:
            return subscriber.status.health is Health.FRESH

        await eventually("health", is_fresh)


async def test_a_cut_connection_parks_nothing(
    stack: Stack, topics: TopicNames, log: Log, pool: Pool, database_url: str
) -> None:
    events = list(interleaved(60, at_once=30))
    store = PostgresStore(pool)
    await store.create_tables()
    async with acquire(pool) as connection:
        await connection.execute("create table ids (id text primary key)")
    subscriber = Subscriber(
        f"{topics.prefix}ids", stack.bootstrap_servers, store, topic_prefix=topics.prefix
    )

    @subscriber.on()
    async def note(received: Any, connection: Any) -> None:
        await connection.execute("insert into ids values ($1)", received.id)

    uncut = await asyncpg.connect(database_url)
    async with subscriber:
        for start in range(0, len(events), 48):
            await log.write(events[start : start + 48])
            await uncut.execute(CUT_OTHERS)

        async def all_there() -> bool:
            return bool(await uncut.fetchval("select count(*) from ids") == len(events))

        await eventually("all events", all_there)
        assert not await subscriber.parking.streams()
    await uncut.close()


async def test_a_consumer_that_hangs_is_replaced(
    stack: Stack, topics: TopicNames, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a broker's unclean restart: nothing arrives, while everything else is answered."""
    events = list(history())
    book = Notebook(stack, topics, MemoryStore(), stalled_after=0.5)
    consumers = consumers_of(book, monkeypatch)
    async with book.subscriber as subscriber:
        await until_assigned(subscriber)
        consumers[0].pause(*consumers[0].assignment())
        await log.write(events)
        await book.has(events)
    assert len(consumers) == 2


async def test_a_consumer_that_never_gets_into_the_group_is_replaced(
    stack: Stack, topics: TopicNames, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = list(history())
    await log.write(events)
    book = Notebook(stack, topics, MemoryStore())
    consumers = consumers_of(book, monkeypatch)
    subscribe = AIOKafkaConsumer.subscribe

    def subscribe_later(consumer: AIOKafkaConsumer, *arguments: Any, **options: Any) -> None:
        if consumers:
            subscribe(consumer, *arguments, **options)

    monkeypatch.setattr(AIOKafkaConsumer, "subscribe", subscribe_later)
    monkeypatch.setattr(subscriber_module, "JOIN_PATIENCE", 0.2)
    async with book.subscriber:
        await book.has(events)
    assert len(consumers) == 2


async def test_a_partition_that_waits_its_turn_does_not_hang(
    stack: Stack, topics: TopicNames, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = list(interleaved(60))
    await log.write(events)
    book = Notebook(stack, topics, MemoryStore(), stalled_after=0.2, max_records=4)
    book.seconds_each = 0.004
    consumers = consumers_of(book, monkeypatch)
    async with book.subscriber:
        await book.has(events)
    assert len(consumers) == 1


def consumers_of(book: Notebook, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every consumer that it ever starts."""
    started, consumers = book.subscriber._start_consumer, list[Any]()

    async def watched(*arguments: Any) -> Any:
        consumers.append(await started(*arguments))
        return consumers[-1]

    monkeypatch.setattr(book.subscriber, "_start_consumer", watched)
    return consumers


@pytest.mark.parametrize("missing", ["topics", "kafka"])
async def test_it_waits_for_kafka_and_says_so(
    missing: str, stack: Stack, topics: TopicNames
) -> None:
    is_topics = missing == "topics"
    subscriber: Subscriber[None] = Subscriber(
        "waiting",
        stack.bootstrap_servers if is_topics else "127.0.0.1:1",
        MemoryStore(),
        topic_prefix="nowhere." if is_topics else topics.prefix,
    )

    async def says_so() -> bool:
        fault = "TopicMissing" if is_topics else "KafkaConnectionError"
        return fault in (subscriber.status.fault or "")

    async with subscriber:
        await eventually("the fault to be told", says_so)


async def test_a_newer_version_waits_for_newer_code(
    stack: Stack, topics: TopicNames, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    events, store = list(history()), MemoryStore()
    newer = {**headers_of(events[1]), "ce_dataschema": "/schemas/events/2.json"}
    await log.write(events[:1], partition=0)
    headers = [(name, value.encode()) for name, value in newer.items()]
    await log.write_raw(events[1].key.encode(), value_of(events[1]), headers, partition=0)
    await log.write(events[2:], partition=0)
    old = Notebook(stack, topics, store)
    async with old.subscriber as subscriber:

        async def kinds() -> list[FaultKind]:
            return [one.parking.kind for one in await subscriber.parking.streams()]

        await old.has(events[:1])
        assert await eventually("the stream to be parked", kinds) == [FaultKind.NEWER_VERSION]

    def newer_decode(headers: Headers, value: bytes | None) -> Event:
        schema = f"/schemas/events/{dict(headers)['ce_type'].decode()}/1.json"  # type: ignore[union-attr]
        return decode([*headers, ("ce_dataschema", schema.encode())], value)

    monkeypatch.setattr("services.core.subscriber.records.decode", newer_decode)
    new = Notebook(stack, topics, store)
    async with new.subscriber:
        await new.has(events[1:])
    assert new.got == events[1:]


async def test_a_stop_lets_the_event_in_hand_end(
    stack: Stack, topics: TopicNames, log: Log
) -> None:
    """Effects in memory can't be undone, so one that is cut off would be there twice."""
    events, store = list(interleaved(6)), MemoryStore()
    await log.write(events)
    first = Notebook(stack, topics, store)
    first.seconds_each = 0.02
    async with first.subscriber:

        async def has_begun() -> bool:
            return len(first.got) > 3

        await eventually("some events", has_begun)
    assert len(first.got) < len(events)

    second = Notebook(stack, topics, store)
    async with second.subscriber:
        await second.has([one for one in events if one not in first.got])
    assert by_key([*first.got, *second.got]) == by_key(events)
