"""Folding a stream's records: to the end, or to the first that can't be folded."""

from dataclasses import replace

from schemas.events import (
    ContentFailed,
    ContentRequested,
    Event,
    EventData,
    InfluencerDrafted,
    InfluencerUpdated,
    MediaAssetUploaded,
)
from services.core.readmodel.records import LogRecord, StreamId
from services.core.readmodel.skips import Skip, Skips
from services.ops.history import Change, differences, fold_history
from services.ops.streams import StreamAddress
from tests.unit.samples import (
    ERROR,
    INFLUENCER_ID,
    JOB_ID,
    ORGANIZATION_ID,
    PROFILE,
    PROJECT_ID,
    TIME,
    TRACEPARENT,
    asset_id,
)

ADDRESS = StreamAddress(ORGANIZATION_ID, INFLUENCER_ID)


def event(sequence: int, data: EventData, subject: str = INFLUENCER_ID) -> Event:
    return Event(
        id=f"evt_{sequence:026d}",
        source="/services/api",
        subject=subject,
        time=TIME,
        sequence=sequence,
        organization_id=ORGANIZATION_ID,
        project_id=PROJECT_ID,
        correlation_id="req_x",
        causation_id="req_x",
        traceparent=TRACEPARENT,
        data=data,
    )


def record(event: Event) -> LogRecord:
    return LogRecord(StreamId("t", event.key), 3, event.sequence * 2, (), b"{}", event)


DRAFTED = record(event(1, InfluencerDrafted(profile=PROFILE)))
RENAMED = record(event(2, InfluencerUpdated(changes={"name": "Bo"})))


def test_to_its_end() -> None:
    told = fold_history(ADDRESS, "t", [DRAFTED, RENAMED])
    assert told.fault is None
    assert [len(step.changes) > 0 for step in told.steps] == [True, True]
    assert told.state["influencer"]["profile"]["name"] == "Bo"


def test_a_media_asset() -> None:
    asset = asset_id(1)
    uploaded = MediaAssetUploaded(
        asset_id=asset,
        kind="image",
        mime_type="image/png",
        size_bytes=10,
        sha256="0" * 64,
        width=1,
        height=1,
        url="/v1/media/x",
        thumbnail_url="/v1/media/x",
        created_at=TIME,
    )
    told = fold_history(
        StreamAddress(ORGANIZATION_ID, asset), "t", [record(event(1, uploaded, asset))]
    )
    assert told.fault is None
    assert told.state["asset"]["assetId"] == asset


def test_content() -> None:
    content = f"cnt_{1:026d}"
    wanted = ContentRequested(job_id=JOB_ID, influencer_id=INFLUENCER_ID, brief="At the sea.")
    given_up = ContentFailed(job_id=JOB_ID, influencer_id=INFLUENCER_ID, error=ERROR)
    of_stream = [record(event(n, data, content)) for n, data in ((1, wanted), (2, given_up))]
    told = fold_history(StreamAddress(ORGANIZATION_ID, content), "t", of_stream)
    assert told.fault is None
    assert Change("job.status", "running", "failed") in told.steps[1].changes


def skip(record: LogRecord, sequence_after: int) -> Skips:
    place = record.stream.topic, record.partition, record.offset
    return {place: Skip(record.stream, sequence_after, "[]", record.value)}


def test_what_was_skipped_is_a_step_and_the_history_goes_on() -> None:
    unreadable = replace(RENAMED, event=None, fault="ce_type is missing")
    renamed = record(event(3, InfluencerUpdated(changes={"name": "Cy"})))
    told = fold_history(ADDRESS, "t", [DRAFTED, unreadable, renamed], skip(unreadable, 2))
    assert told.fault is None
    assert [(step.sequence, step.note) for step in told.steps] == [
        (1, None),
        (2, "skipped"),
        (3, None),
    ]
    assert told.state["influencer"]["profile"]["name"] == "Cy"
    assert told.until(2).steps[-1].note == "skipped"


def test_a_repeat_is_a_step_that_changes_nothing() -> None:
    told = fold_history(ADDRESS, "t", [DRAFTED, replace(DRAFTED, offset=3), RENAMED])
    assert told.fault is None
    assert [(step.sequence, step.note) for step in told.steps] == [
        (1, None),
        (1, "repeated"),
        (2, None),
    ]
    assert told.steps[1].changes == ()


def test_a_hole_another_event_and_what_cannot_be_read_are_told_with_their_place() -> None:
    hole = record(event(3, InfluencerUpdated(changes={"name": "Bo"})))
    unreadable = replace(RENAMED, event=None, fault="ce_type is missing")
    another = record(replace(event(1, InfluencerDrafted(profile=PROFILE)), id="evt_other"))
    for records, says in (
        ([DRAFTED, hole], "the event at 3:6: InfluencerUpdated: expected sequence 2, got 3"),
        ([DRAFTED, another], "the event at 3:2: InfluencerDrafted: expected sequence 2, got 1"),
        ([DRAFTED, unreadable, hole], "the record at 3:4: ce_type is missing"),
    ):
        told = fold_history(ADDRESS, "t", records)
        assert told.fault == says
        assert len(told.steps) == 1
        assert told.until(1).fault is None, "it is known what it was at 1"


def test_differences_field_by_field() -> None:
    before = {"a": 1, "b": {"c": None, "d": 2}, "list": [{"id": 1}, {"id": 2}], "gone": 1}
    after = {"a": 1, "b": {"c": {"e": 3}, "d": 4}, "list": [{"id": 2}, {"id": 3}], "gone": None}
    assert list(differences(before, after)) == [
        Change("b.c.e", None, 3),
        Change("b.d", 2, 4),
        Change("list[0]", {"id": 1}, None),
        Change("list[1]", None, {"id": 3}),
        Change("gone", 1, None),
    ]
