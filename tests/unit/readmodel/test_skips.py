"""Skips: a record that was given up is passed over, by every fold, and no other record is."""

import pytest

from schemas.events import EventData, InfluencerUpdated
from services.core.readmodel.apply import apply
from services.core.readmodel.quarantine import SequenceUnclear, sequence_after_skip
from services.core.readmodel.records import LogRecord, read_record
from services.core.readmodel.rows import headers_json
from services.core.readmodel.skips import Place, Skip
from tests.unit.domain.specification import stream_of
from tests.unit.readmodel.specification import KEY, Raw, given, poison, record_of
from tests.unit.readmodel.test_apply import CREATED, FIRST, RENAMED, STARTED

RENAMED_AGAIN = InfluencerUpdated(changes={"name": "Bo"})


def skipped(record: LogRecord, sequence_after: int) -> dict[Place, Skip]:
    place = (record.stream.topic, record.partition, record.offset)
    skip = Skip(record.stream, sequence_after, headers_json(record), record.value)
    return {place: skip}


def unreadable(sequence: int, offset: int | None = None) -> LogRecord:
    """An event whose headers are whole and whose value is cut off."""
    whole = record_of(RENAMED, sequence)
    at = sequence - 1 if offset is None else offset
    return read_record(Raw(KEY.encode(), b"{", whole.headers, at))


def test_the_stream_goes_on_behind_what_was_skipped() -> None:
    cut = unreadable(2)
    later = record_of(RENAMED, 3)
    changes = apply([cut, later], given(CREATED).states, skips=skipped(cut, 2))

    assert not changes.quarantine
    assert not changes.parked
    assert changes.skipped == 1
    assert [row.sequence for row in changes.events] == [3]
    assert changes.streams[KEY].sequence == 3
    expected = stream_of(CREATED, RENAMED)
    assert expected.influencer
    assert changes.streams[KEY].influencer.profile == expected.influencer.profile  # type: ignore[union-attr]


def test_a_fold_from_nothing_comes_to_the_same() -> None:
    log = [record_of(CREATED, 1), unreadable(2), record_of(RENAMED, 3)]
    at_once = apply(log, {}, skips=skipped(log[1], 2))
    by_steps = given(CREATED).states
    for record in log[1:]:
        by_steps |= apply([record], by_steps, skips=skipped(log[1], 2)).streams  # type: ignore[arg-type]
    assert at_once.streams == by_steps


def test_another_record_at_that_place_is_not_skipped() -> None:
    skips = skipped(unreadable(2), 2)
    for other in (record_of(STARTED, 2), poison(1), unreadable(3, offset=1)):
        changes = apply([other], given(CREATED).states, skips=skips)
        assert changes.skipped == 0


def test_what_is_parked_before_it_stays_before_it() -> None:
    first, second = poison(0), unreadable(2)
    changes = apply([first, second], given(CREATED).states, skips=skipped(second, 2))
    assert [row.record_offset for row in changes.quarantine] == [0, 1]


def test_a_skip_never_takes_a_stream_back() -> None:
    cut = unreadable(2)
    changes = apply([cut], given(CREATED, STARTED, FIRST).states, skips=skipped(cut, 2))
    assert not changes.streams


def test_only_an_event_that_was_given_up_is_passed() -> None:
    cut, foreign = unreadable(2), poison(1)
    states = given(CREATED).states
    assert apply([cut], states, skips=skipped(cut, 2)).passed == {KEY}
    assert apply([foreign], states, skips=skipped(foreign, 1)).passed == set()


def renamed(sequence: int) -> LogRecord:
    data: EventData = RENAMED_AGAIN
    return record_of(data, sequence)


@pytest.mark.parametrize(
    ("records", "after"),
    [
        ([unreadable(4)], 4),
        ([unreadable(4), renamed(5)], 4),
        ([unreadable(4), renamed(6)], 4),  # a hole behind it is another fault
        ([renamed(2)], 3),
        ([poison()], 3),
        ([poison(), renamed(4)], 3),
        ([poison(), renamed(5)], 4),
        ([poison(), poison(1), renamed(5)], 4),
        ([renamed(6), renamed(7)], 6),  # 4 and 5 are lost
        ([renamed(9), renamed(5)], 4),  # its number is wrong
    ],
)
def test_where_a_stream_at_three_goes_on(records: list[LogRecord], after: int) -> None:
    assert sequence_after_skip(3, records) == after


def test_where_nobody_can_tell_it_must_be_said() -> None:
    for records in ([renamed(9)], [renamed(9), renamed(12)], [renamed(9), poison()]):
        with pytest.raises(SequenceUnclear) as unclear:
            sequence_after_skip(3, records)
        assert (unclear.value.says, unclear.value.expected) == (9, 4)
