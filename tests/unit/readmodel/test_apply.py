"""The projection: what is folded, what is only kept as history, and what is parked."""

from dataclasses import replace

import pytest

from schemas.events import (
    EventData,
    InfluencerCreateRequested,
    InfluencerImageRendered,
    InfluencerReady,
    InfluencerRenderRequested,
    InfluencerTrainingStarted,
    InfluencerUpdated,
    MediaAssetUploaded,
)
from services.core.readmodel import apply as projection
from services.core.readmodel.apply import FOLLOWS_QUARANTINED, apply
from services.core.readmodel.records import LogRecord
from services.core.readmodel.repeats import REPEATED, WrittenRows
from tests.unit.domain.specification import stream_of
from tests.unit.readmodel.specification import KEY, STREAM, given, poison, record_of
from tests.unit.samples import (
    INFLUENCER_ID,
    JOB_ID,
    OTHER_INFLUENCER_ID,
    PROFILE,
    SECOND_JOB_ID,
    TIME,
    VIEWS,
    asset_id,
    rendered,
)

CREATED = InfluencerCreateRequested(
    job_id=JOB_ID, job_kind="influencer_create", profile=PROFILE, views=VIEWS
)
STARTED = InfluencerTrainingStarted(job_id=JOB_ID, backend="test", attempt=1)
FIRST = InfluencerImageRendered(
    job_id=JOB_ID, index=0, total=2, view="portrait", image=rendered(1, "portrait")
)
SECOND = InfluencerImageRendered(
    job_id=JOB_ID, index=1, total=2, view="smiling", image=rendered(2, "smiling")
)
UPLOADED = MediaAssetUploaded(
    asset_id=asset_id(7),
    kind="image",
    mime_type="image/png",
    size_bytes=7,
    sha256="0" * 64,
    width=1,
    height=1,
    url="http://x/media/a.png",
    thumbnail_url="http://x/media/b.webp",
    created_at=TIME,
)
READY = InfluencerReady(job_id=JOB_ID, asset_ids=(asset_id(1), asset_id(2)))
AGAIN = InfluencerRenderRequested(job_id=SECOND_JOB_ID, views=VIEWS)
RENAMED = InfluencerUpdated(changes={"name": "Ava"})
WHOLE: tuple[EventData, ...] = (CREATED, STARTED, FIRST, SECOND, READY)


def records(*data: EventData, start: int = 1, subject: str = INFLUENCER_ID) -> list[LogRecord]:
    return [record_of(one, sequence, subject) for sequence, one in enumerate(data, start)]


def test_a_new_stream_is_folded_from_nothing() -> None:
    changes = given().when(*records(*WHOLE))

    assert changes.streams == {KEY: stream_of(*WHOLE)}
    assert [row.sequence for row in changes.events] == [1, 2, 3, 4, 5]
    assert [row.asset_id for row in changes.assets] == [asset_id(1), asset_id(2)]
    assert not changes.quarantine


def test_a_known_stream_goes_on_from_its_state() -> None:
    changes = given(CREATED, STARTED).when(*records(FIRST, SECOND, start=3))

    assert changes.streams == {KEY: stream_of(CREATED, STARTED, FIRST, SECOND)}


def test_every_job_that_changed_is_written_as_it_was_last() -> None:
    changes = given().when(*records(*WHOLE, AGAIN))

    assert changes.jobs[JOB_ID].status == "completed"
    assert changes.jobs[SECOND_JOB_ID].status == "running"


def test_what_the_rows_hold_already_only_becomes_history() -> None:
    changes = given(*WHOLE).when(*records(*WHOLE))

    assert not changes.streams
    assert not changes.jobs
    assert not changes.quarantine
    assert len(changes.events) == 5
    assert len(changes.assets) == 2


def test_an_event_that_is_on_the_log_again_is_set_aside_alone() -> None:
    once = records(CREATED, STARTED)
    again = replace(once[1], offset=7)
    (next_one,) = records(FIRST, start=3)
    before = WrittenRows(apply(once, {}).events)
    for written, arriving in ((WrittenRows(), [*once, again]), (before, [again])):
        states = {} if written is not before else {KEY: stream_of(CREATED, STARTED)}
        changes = apply([*arriving, next_one], states, written=written)
        assert changes.streams == {KEY: stream_of(CREATED, STARTED, FIRST)}
        assert not changes.parked
        [row] = changes.quarantine
        assert (row.record_offset, row.reason, row.repeated) == (7, REPEATED, True)


def test_another_event_with_a_sequence_that_is_taken_parks_the_stream() -> None:
    once = records(CREATED, STARTED)
    (other,) = records(RENAMED, start=2)
    before = WrittenRows(apply(once, {}).events)
    for written, arriving in ((WrittenRows(), [*once, other]), (before, [other])):
        states = {} if written is not before else {KEY: stream_of(CREATED, STARTED)}
        changes = apply([*arriving, *records(FIRST, start=3)], states, written=written)
        assert changes.parked == {STREAM}
        assert "another event with sequence 2" in changes.quarantine[0].reason
        assert changes.quarantine[1].reason == FOLLOWS_QUARANTINED


def test_what_the_append_has_written_ahead_is_no_repeat() -> None:
    changes = apply(records(*WHOLE), {KEY: stream_of(*WHOLE)}, written=WrittenRows())
    assert len(changes.events) == changes.known == 5
    assert not changes.quarantine


def test_a_gap_parks_the_stream_with_the_reason() -> None:
    changes = given(CREATED).when(record_of(FIRST, 3), record_of(SECOND, 4))

    assert not changes.streams
    assert changes.parked == {STREAM}
    assert [row.record_offset for row in changes.quarantine] == [2, 3]
    assert "expected sequence 2, got 3" in changes.quarantine[0].reason
    assert changes.quarantine[1].reason == FOLLOWS_QUARANTINED


def test_an_impossible_event_parks_the_stream_and_what_came_before_stands() -> None:
    changes = given().when(*records(CREATED, READY, RENAMED))

    assert changes.streams == {KEY: stream_of(CREATED)}
    assert len(changes.events) == 1
    assert [row.record_offset for row in changes.quarantine] == [1, 2]
    assert "missing" in changes.quarantine[0].reason


def test_no_other_stream_notices() -> None:
    other = records(*WHOLE, subject=OTHER_INFLUENCER_ID)
    mine = [poison(offset) for offset in range(5)]
    mixed = [record for pair in zip(mine, other, strict=True) for record in pair]

    changes = given().when(*mixed)

    assert [state.sequence for state in changes.streams.values()] == [5]
    assert len(changes.events) == 5
    assert changes.parked == {STREAM}
    assert len(changes.quarantine) == 5


def test_a_stream_in_quarantine_stays_there() -> None:
    changes = given(CREATED).when(*records(STARTED, start=2), quarantined={STREAM})

    assert not changes.events
    assert not changes.parked
    assert [row.reason for row in changes.quarantine] == [FOLLOWS_QUARANTINED]


def test_a_bug_parks_the_stream_that_met_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("nobody thought of this")

    monkeypatch.setattr(projection, "aggregate_of", broken)
    changes = apply(records(CREATED), {})

    assert "ZeroDivisionError" in changes.quarantine[0].reason


def test_an_upload_is_an_asset_and_no_influencers_history() -> None:
    changes = given().when(record_of(UPLOADED, 1, UPLOADED.asset_id))
    [row] = changes.uploads
    assert (row.asset_id, row.influencer_id) == (UPLOADED.asset_id, None)
    [event] = changes.events
    assert (event.stream_id, event.sequence) == (UPLOADED.asset_id, 1)
    assert not changes.streams
    assert not changes.parked


def test_an_upload_that_is_not_of_its_stream_is_parked() -> None:
    for impossible in (
        record_of(UPLOADED, 2, UPLOADED.asset_id),
        record_of(UPLOADED, 1, asset_id(9)),
        record_of(UPLOADED, 1),
    ):
        changes = given().when(impossible)
        assert changes.parked == {impossible.stream}
        assert not changes.uploads
