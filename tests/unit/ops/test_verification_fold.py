"""The fold of `verify`: the same whatever fits into memory, and damage named."""

from dataclasses import replace
from pathlib import Path

import pytest

from schemas.events import Event, headers_of, value_of
from services.core.readmodel.records import Headers, LogRecord, StreamId, read_record
from services.core.readmodel.repeats import REPEATED
from services.ops.verification.fold import HELD_BACK, LogFold
from services.ops.verification.snapshot import HIGHEST, LOWEST
from services.ops.verification.store import FoldStore
from tests.bench.histories import interleaved

TOPIC = "influencer.events.v1"


class Raw:
    """A consumer's record."""

    def __init__(self, offset: int, event: Event) -> None:
        self.topic = TOPIC
        self.partition = 0
        self.offset = offset
        self.key: bytes | None = event.key.encode()
        self.headers: Headers = [(n, value.encode()) for n, value in headers_of(event).items()]
        self.value: bytes | None = value_of(event)


def records_of(events: list[Event]) -> list[LogRecord]:
    return [read_record(Raw(offset, event)) for offset, event in enumerate(events)]


def folded(
    path: Path,
    records: list[LogRecord],
    *,
    kept: int = 1000,
    chunk: int = 7,
    quarantined: dict[StreamId, int] | None = None,
) -> FoldStore:
    store = FoldStore.create(path)
    fold = LogFold(store, kept, quarantined or {})
    for start in range(0, len(records), chunk):
        fold.add(records[start : start + chunk])
        assert fold.in_memory <= max(kept, chunk)
    fold.finish()
    store.close()
    return FoldStore(path)


@pytest.fixture
def events() -> list[Event]:
    return list(interleaved(12, at_once=6))


def test_little_memory_changes_nothing(tmp_path: Path, events: list[Event]) -> None:
    records = records_of(events)
    much = folded(tmp_path / "much", records)
    little = folded(tmp_path / "little", records, kept=2)
    everything = (LOWEST, HIGHEST)
    assert list(little.streams(*everything)) == list(much.streams(*everything))
    assert list(little.assets(*everything)) == list(much.assets(*everything))
    assert [stream.sequence for stream in much.streams(*everything)] == [8] * 12
    assert much.count("assets") == 12 * 4


def test_bounds_divide_the_keys(tmp_path: Path, events: list[Event]) -> None:
    store = folded(tmp_path / "all", records_of(events))
    low, high = store.bounds("folded", 3)
    sizes = [
        len(list(store.streams(*ends))) for ends in ((LOWEST, low), (low, high), (high, HIGHEST))
    ]
    assert sizes == [4, 4, 4]


@pytest.mark.parametrize("kept", [1, 1000])
def test_a_repeated_event_is_named_and_changes_nothing(
    tmp_path: Path, events: list[Event], kept: int
) -> None:
    sound = folded(tmp_path / "sound", records_of(events))
    store = folded(tmp_path / "repeated", records_of([*events, events[0]]), kept=kept)
    assert [(record.record_offset, record.reason) for record in store.quarantine()] == [
        (len(events), REPEATED)
    ]
    everything = (LOWEST, HIGHEST)
    assert list(store.streams(*everything)) == list(sound.streams(*everything))


def test_a_hole_parks_its_stream_alone(tmp_path: Path, events: list[Event]) -> None:
    ill = events[0].key
    hole = [event for event in events if (event.key, event.sequence) != (ill, 3)]
    store = folded(tmp_path / "hole", records_of(hole))
    assert {record.key for record in store.quarantine()} == {ill}
    assert len(list(store.quarantine())) == 5
    sequences = {stream.key: stream.sequence for stream in store.streams(LOWEST, HIGHEST)}
    assert sequences.pop(ill) == 2
    assert set(sequences.values()) == {8}


def test_what_is_in_quarantine_is_not_folded(tmp_path: Path, events: list[Event]) -> None:
    ill = events[0].key
    third = next(
        offset for offset, event in enumerate(events) if (event.key, event.sequence) == (ill, 3)
    )
    store = folded(tmp_path / "held", records_of(events), quarantined={StreamId(TOPIC, ill): third})
    assert [record.reason for record in store.quarantine()] == [HELD_BACK] * 6
    kept = store.find_stream(ill)
    assert kept is not None
    assert kept.sequence == 2


def test_a_foreign_record_leaves_no_stream_behind(tmp_path: Path, events: list[Event]) -> None:
    raw = Raw(0, events[0])
    raw.headers = []
    store = folded(tmp_path / "foreign", [read_record(raw)])
    assert store.count("folded") == 0
    assert [record.reason for record in store.quarantine()] == [
        "not a CloudEvent of ours: ce_specversion is missing"
    ]


def test_another_event_with_a_used_sequence_is_named(tmp_path: Path, events: list[Event]) -> None:
    other = replace(events[0], id="evt_01HXZ9G7KMV2QX8Y1S5RJW3B7T")
    store = folded(tmp_path / "other", records_of([*events, other]))
    (named,) = store.quarantine()
    assert "another event with sequence 1" in named.reason
