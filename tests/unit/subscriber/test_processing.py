"""What becomes of a record: handled once and in order, passed over, or parked with its stream."""

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from schemas.events import EventData, InfluencerDeleted
from services.core.subscriber import (
    FaultKind,
    GapDetected,
    HandlerFailed,
    MemoryStore,
    NewerVersion,
    Poison,
    PositionMoved,
    Received,
    Record,
    SqliteStore,
    Store,
    StreamFault,
    StreamNotParked,
    TryLater,
    UndecodableRecord,
)
from tests.unit.subscriber.records import FIRST, SECOND, event, record, stream
from tests.unit.subscriber.workbench import PLACE, Workbench

HANDLED = "create table effects (subject text, sequence integer, unique (subject, sequence))"


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store[Any]]:
    if request.param == "memory":
        yield MemoryStore()
        return
    made = SqliteStore(tmp_path / "store.db")
    yield made
    made.close()


@pytest.fixture(params=["one by one", "in batches"])
def bench(request: pytest.FixtureRequest, store: Store[Any]) -> Workbench:
    return Workbench(store, in_batches=request.param == "in batches")


def both(*sequences: int) -> list[Record]:
    """These events of two streams, interleaved."""
    return [record(event(subject, n)) for n in sequences for subject in (FIRST, SECOND)]


async def test_each_event_once_and_in_order(bench: Workbench) -> None:
    first, second = both(1)
    repeated = [first, *both(2), first, *both(3)]
    await bench.take([first, second, first])
    await bench.take(repeated, at_a_time=2)

    assert bench.handled(FIRST) == bench.handled(SECOND) == [1, 2, 3]
    assert bench.hearing.counts["repeated"] == 3
    assert not await bench.parking.streams()


async def test_what_nobody_handles_counts_but_is_not_read(bench: Workbench) -> None:
    unknown = record(event(FIRST, 2), ce_type="InfluencerAscended")
    future = record(event(FIRST, 4, InfluencerDeleted()), ce_dataschema="/schemas/99.json")
    broken = replace(record(event(FIRST, 5, InfluencerDeleted())), value=b"{")
    foreign = replace(unknown, headers=(("content-type", b"text/plain"),), key=None)
    await bench.take([record(event(FIRST, 1)), unknown, foreign, record(event(FIRST, 3))])
    await bench.take([future, broken, record(event(FIRST, 6))])

    assert bench.handled(FIRST) == [1, 3, 6]
    assert bench.hearing.counts == {"ignored": 3, "repeated": 0, "foreign": 1}


FAULTS: dict[str, tuple[Callable[[], Record], type[StreamFault], str]] = {
    "gap": (lambda: record(event(FIRST, 3)), GapDetected, "expected sequence 2, got 3"),
    "truncated": (
        lambda: replace(record(event(FIRST, 2)), value=b'{"changes": {'),
        UndecodableRecord,
        "data is not a",
    ),
    "no value": (
        lambda: replace(record(event(FIRST, 2)), value=None),
        UndecodableRecord,
        "data is not a",
    ),
    "a newer version": (
        lambda: record(event(FIRST, 2), ce_dataschema="/schemas/events/InfluencerUpdated/9.json"),
        NewerVersion,
        "InfluencerUpdated in a version",
    ),
    "no sequence": (
        lambda: record(event(FIRST, 2), ce_sequence="two"),
        UndecodableRecord,
        "not a decimal",
    ),
    "another key": (
        lambda: record(event(FIRST, 2), ce_subject="inf_other"),
        UndecodableRecord,
        "the key is not that of its event",
    ),
    "a header is missing": (
        lambda: replace(record(event(FIRST, 2)), headers=(("ce_id", b"evt_1"),)),
        UndecodableRecord,
        "ce_type is missing",
    ),
}


@pytest.mark.parametrize("kind", FAULTS)
async def test_a_fault_parks_its_stream_and_no_other(kind: str, bench: Workbench) -> None:
    make, fault, reason = FAULTS[kind]
    await bench.take([*both(1), make(), record(event(SECOND, 2)), record(event(FIRST, 4))])
    await bench.take([record(event(SECOND, 3))])
    await bench.pass_time(3600)

    assert (bench.handled(FIRST), bench.handled(SECOND)) == ([1], [1, 2, 3])
    (heard,) = bench.hearing.faults
    assert isinstance(heard, fault)
    (parked,) = await bench.parking.streams()
    assert (parked.stream, parked.sequence) == (stream(FIRST), 1)
    assert parked.parking.kind is fault.kind
    assert reason in parked.parking.reason
    assert len(await bench.parking.records(stream(FIRST))) == 2


async def test_a_failing_handler_is_tried_again_in_order(bench: Workbench) -> None:
    bench.refusals[FIRST, 2] = RuntimeError("not today\x00")
    await bench.take(both(1, 2, 3))
    assert (bench.handled(FIRST), bench.handled(SECOND)) == ([1], [1, 2, 3])

    await bench.pass_time(0.9)
    assert len(bench.hearing.faults) == 1
    await bench.pass_time(0.2)
    attempts = [one.attempt for one in bench.hearing.faults if isinstance(one, HandlerFailed)]
    assert attempts == [1, 2]
    await bench.take(both(4))
    del bench.refusals[FIRST, 2]
    await bench.pass_time(10)

    assert bench.handled(FIRST) == bench.handled(SECOND) == [1, 2, 3, 4]
    assert bench.hearing.back == [stream(FIRST)]
    await bench.take(both(5))
    assert bench.handled(FIRST)[-1] == 5


async def test_after_the_last_attempt_somebody_must_act(bench: Workbench) -> None:
    bench.refusals[FIRST, 1] = RuntimeError("never")
    await bench.take(both(1, 2))
    for _ in range(5):
        await bench.pass_time(100)

    (parked,) = await bench.parking.streams()
    assert (parked.parking.attempts, parked.parking.retry_at) == (3, None)
    del bench.refusals[FIRST, 1]
    await bench.parking.retry(stream(FIRST))
    await bench.pass_time(0)
    assert bench.handled(FIRST) == [1, 2]


async def test_poison_gets_one_attempt(bench: Workbench) -> None:
    bench.refusals[FIRST, 1] = Poison("will never do")
    await bench.take(both(1))
    (parked,) = await bench.parking.streams()
    assert parked.parking.retry_at is None


async def test_poison_is_skipped_with_a_reason(bench: Workbench) -> None:
    bench.refusals[FIRST, 2] = Poison("will never do")
    await bench.take(both(1, 2, 3))
    skip = await bench.parking.skip(stream(FIRST), "a test account")
    await bench.pass_time(0)

    assert bench.handled(FIRST) == [1, 3]
    assert (skip.first, skip.last, skip.reason) == (2, 2, "a test account")
    assert list(await bench.parking.skips()) == [skip]
    with pytest.raises(StreamNotParked):
        await bench.parking.skip(stream(FIRST), "again")


async def test_a_gap_is_skipped_without_the_events_behind_it(bench: Workbench) -> None:
    await bench.take([*both(1), *both(4, 5)])
    skip = await bench.parking.skip(stream(FIRST), "lost with the old cluster")
    await bench.pass_time(0)

    assert (skip.first, skip.last) == (2, 3)
    assert bench.handled(FIRST) == [1, 4, 5]
    assert bench.handled(SECOND) == [1]


async def test_where_reading_began_later_a_stream_may_begin_anywhere(store: Store[Any]) -> None:
    bench = Workbench(store, is_whole=False)
    await bench.take([*both(7, 8), record(event(FIRST, 10))])
    assert (bench.handled(FIRST), bench.handled(SECOND)) == ([7, 8], [7, 8])
    assert [parked.stream for parked in await bench.parking.streams()] == [stream(FIRST)]


async def test_where_reading_began_at_the_beginning_a_stream_begins_with_1(
    store: Store[Any],
) -> None:
    bench = Workbench(store)
    await bench.take([record(event(FIRST, 2))])
    (parked,) = await bench.parking.streams()
    assert parked.parking.kind is FaultKind.GAP


async def test_what_all_need_holds_up_everything_and_parks_nothing(bench: Workbench) -> None:
    bench.refusals[SECOND, 2] = TryLater("the mail server is away")
    with pytest.raises(TryLater):
        await bench.take(both(1, 2, 3))
    assert not bench.hearing.handled_events
    bench.refusals.clear()
    await bench.take([])

    assert bench.handled(FIRST) == bench.handled(SECOND) == [1, 2, 3]
    assert not await bench.parking.streams()


async def test_another_members_move_undoes_the_whole_batch(store: Store[Any]) -> None:
    bench = Workbench(store)
    await bench.take(both(1))
    bench.position = replace(bench.position, offset=bench.position.offset - 1)
    with pytest.raises(PositionMoved) as moved:
        await bench.take(both(2))
    assert set(moved.value.partitions) == {PLACE}
    assert bench.handled(FIRST) == [1]


async def test_several_attempts_of_a_drain_keep_what_worked(bench: Workbench) -> None:
    bench.refusals[FIRST, 1] = RuntimeError("later")
    bench.refusals[FIRST, 3] = RuntimeError("later still")
    await bench.take(both(1, 2, 3, 4))
    del bench.refusals[FIRST, 1]
    await bench.pass_time(1)

    (parked,) = await bench.parking.streams()
    assert (parked.sequence, parked.parking.attempts) == (2, 1)
    del bench.refusals[FIRST, 3]
    await bench.pass_time(10)
    assert bench.handled(FIRST) == [1, 2, 3, 4]


async def test_many_parked_events_are_drained_in_order(store: Store[Any]) -> None:
    bench = Workbench(store)
    bench.refusals[FIRST, 1] = RuntimeError("later")
    await bench.take(both(*range(1, 251)))
    bench.refusals.clear()
    await bench.pass_time(1)
    assert bench.handled(FIRST) == list(range(1, 251))


@pytest.fixture
def file(tmp_path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore(tmp_path / "store.db")
    made.connection.execute(HANDLED)
    yield made
    made.close()


def insert(effects: sqlite3.Connection, one: Received[EventData]) -> None:
    effects.execute("insert into effects values (?, ?)", (one.event.subject, one.sequence))


def effects(store: SqliteStore, subject: str) -> list[int]:
    found = store.connection.execute(
        "select sequence from effects where subject = ? order by rowid", (subject,)
    )
    return [sequence for (sequence,) in found]


@pytest.mark.parametrize("in_batches", [False, True])
async def test_effects_in_the_store_happen_exactly_once(
    file: SqliteStore, in_batches: bool
) -> None:
    bench = Workbench(file, in_batches=in_batches)
    bench.write = insert
    bench.refusals[FIRST, 2] = RuntimeError("after it has written")
    await bench.take(both(1, 2, 3))
    assert (effects(file, FIRST), effects(file, SECOND)) == ([1], [1, 2, 3])
    bench.refusals.clear()
    await bench.pass_time(1)
    assert effects(file, FIRST) == [1, 2, 3]


@pytest.mark.parametrize("in_batches", [False, True])
async def test_what_can_only_be_refused_at_the_commit_parks_its_stream(
    file: SqliteStore, in_batches: bool
) -> None:
    file.connection.execute("pragma foreign_keys = on")
    file.connection.execute("create table parents (id integer primary key)")
    file.connection.execute(
        "create table children"
        " (parent integer references parents (id) deferrable initially deferred)"
    )
    bench = Workbench(file, in_batches=in_batches)

    def write(connection: sqlite3.Connection, one: Received[EventData]) -> None:
        insert(connection, one)
        if (one.event.subject, one.sequence) == (FIRST, 2):
            connection.execute("insert into children values (17)")

    bench.write = write
    await bench.take(both(1, 2, 3))
    assert (effects(file, FIRST), effects(file, SECOND)) == ([1], [1, 2, 3])
    await bench.pass_time(1)
    (parked,) = await bench.parking.streams()
    assert parked.parking.attempts == 2
    file.connection.execute("insert into parents values (17)")
    await bench.pass_time(10)
    assert effects(file, FIRST) == [1, 2, 3]


async def test_it_is_remembered_in_the_file(tmp_path: Path) -> None:
    events = [record(event(FIRST, n)) for n in (1, 2, 4, 5)]
    before = SqliteStore(tmp_path / "store.db")
    await Workbench(before).take(events[:3])
    before.close()

    after = SqliteStore(tmp_path / "store.db")
    bench = Workbench(after)
    await bench.resume()
    assert [parked.sequence for parked in await bench.parking.streams()] == [2]
    await bench.take(events)
    await bench.parking.skip(stream(FIRST), "lost")
    await bench.pass_time(0)
    assert bench.handled(FIRST) == [4, 5]
    after.close()
