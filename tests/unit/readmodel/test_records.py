"""Records that can be read, and what is said of those that can't."""

from dataclasses import replace

import pytest

from schemas.events import InfluencerTrainingStarted
from services.core.readmodel.records import Headers, read_record
from services.core.readmodel.rows import quarantine_row
from tests.unit.domain.specification import envelope
from tests.unit.readmodel.specification import Raw, raw_of
from tests.unit.samples import JOB_ID

EVENT = envelope(InfluencerTrainingStarted(job_id=JOB_ID, backend="test", attempt=1), 1)
GOOD = raw_of(EVENT)


def with_header(name: str, value: bytes | None) -> Headers:
    return tuple((n, value if n == name else v) for n, v in GOOD.headers)


def test_a_good_record_becomes_its_event() -> None:
    record = read_record(GOOD)

    assert record.event == EVENT
    assert record.stream.key == EVENT.key
    assert record.fault is None


@pytest.mark.parametrize(
    "raw",
    [
        replace(GOOD, headers=()),
        replace(GOOD, value=None),
        replace(GOOD, value=b"\xff\xfe"),
        replace(GOOD, value=b"[]"),
        replace(GOOD, key=None),
        replace(GOOD, key=b"another/key"),
        replace(GOOD, key=b"\x00\xff"),
        replace(GOOD, headers=with_header("ce_type", b"InfluencerAscended")),
        replace(GOOD, headers=with_header("ce_sequence", b"0")),
        replace(GOOD, headers=with_header("ce_time", b"yesterday")),
        replace(GOOD, headers=with_header("ce_id", None)),
        replace(GOOD, headers=with_header("ce_subject", b"\xff")),
        replace(GOOD, headers=with_header("ce_projectid", b"not-a-uuid")),
    ],
)
def test_a_bad_record_says_why_and_can_be_quarantined(raw: Raw) -> None:
    record = read_record(raw)

    assert record.event is None
    assert record.fault
    row = quarantine_row(record, record.fault)
    assert "\x00" not in row.stream_key + row.reason
    assert row.value == raw.value


def test_records_without_a_key_are_one_stream() -> None:
    assert read_record(replace(GOOD, key=None)).stream.key == ""
