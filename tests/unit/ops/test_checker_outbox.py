"""Whatever became of an outbox row on its way to the log is named."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from tests.faults.checker import Record, check
from tests.unit.ops.logs import identifier, sound_log


def rows() -> list[dict[str, Any]]:
    """As they were committed to become the sound log."""
    return [
        {
            "event_id": dict(record.headers)["ce_id"].decode(),
            "topic": record.topic,
            "key": (record.key or b"").decode(),
            "headers": orjson.dumps({n: v.decode() for n, v in record.headers}).decode(),
            "value": record.value,
        }
        for record in sound_log().records
    ]


def broken(outbox_rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    violations = check(sound_log().contents(), outbox_rows=outbox_rows).violations
    return [(violation.rule, violation.detail) for violation in violations]


def test_rows_that_are_on_the_log_pass() -> None:
    assert broken(rows()) == []


def test_a_row_that_is_not_on_the_log_is_named() -> None:
    lost = {**rows()[0], "event_id": identifier("evt", 99)}
    assert broken([*rows(), lost]) == [("outbox-row-not-on-log", identifier("evt", 99))]


def test_a_record_that_was_never_a_row_is_named() -> None:
    assert broken(rows()[1:]) == [("log-record-not-from-outbox", identifier("evt", 1))]


def changed_headers(row: Mapping[str, Any]) -> str:
    return orjson.dumps({**orjson.loads(row["headers"]), "ce_time": "later"}).decode()


@pytest.mark.parametrize("part", ["topic", "key", "headers", "value"])
def test_a_part_that_changed_is_named(part: str) -> None:
    first, *others = rows()
    changes = {
        "topic": "media.events.v1",
        "key": "elsewhere",
        "headers": changed_headers(first),
        "value": first["value"] + b" ",
    }
    detail = f"{identifier('evt', 1)}: {part}"
    assert broken([{**first, part: changes[part]}, *others]) == [("outbox-row-differs", detail)]


def test_headers_are_compared_in_their_order() -> None:
    first, *others = rows()
    reversed_headers = dict(reversed(orjson.loads(first["headers"]).items()))
    moved = {**first, "headers": orjson.dumps(reversed_headers).decode()}
    assert [rule for rule, _ in broken([moved, *others])] == ["outbox-row-differs"]


def test_a_row_is_found_wherever_its_record_lies() -> None:
    contents = sound_log().contents()
    moved: list[Record] = [*contents.records[1:], contents.records[0]]
    report = check(type(contents)(moved, contents.ends), outbox_rows=rows())
    assert set(report.rules_broken) == {"sequence-out-of-order"}
