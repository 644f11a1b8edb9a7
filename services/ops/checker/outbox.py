"""Rule group 7: the log is what the outbox was, byte for byte."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from services.ops.checker.facts import Record, Rows, Violation

Row = Mapping[str, Any]


def check_outbox_rows(rows: Rows, records: Sequence[Record]) -> list[Violation]:
    """Each committed row is on the log as it was written, and nothing else is there.

    How often it is there, and in which order, the sequences tell.
    """
    logged: dict[str, list[Record]] = {}
    for record in records:
        logged.setdefault(_event_id(record), []).append(record)
    violations = []
    for row in rows:
        found = logged.pop(row["event_id"], [])
        if not found:
            violations.append(Violation("outbox-row-not-on-log", row["key"], row["event_id"]))
        violations += _changed(row, found)
    for event_id, unknown in logged.items():
        violations += [_at(record, "log-record-not-from-outbox", event_id) for record in unknown]
    return violations


def _changed(row: Row, records: Iterable[Record]) -> list[Violation]:
    written = _as_written(row)
    violations = []
    for record in records:
        has = _as_logged(record)
        parts = [name for name, value in written.items() if has[name] != value]
        if parts:
            detail = f"{row['event_id']}: {', '.join(parts)}"
            violations.append(_at(record, "outbox-row-differs", detail))
    return violations


def _as_written(row: Row) -> dict[str, object]:
    headers = orjson.loads(row["headers"])
    return {
        "topic": row["topic"],
        "key": row["key"].encode(),
        "headers": [(name, value.encode()) for name, value in headers.items()],
        "value": row["value"],
    }


def _as_logged(record: Record) -> dict[str, object]:
    return {
        "topic": record.topic,
        "key": record.key,
        "headers": [(name, bytes(value)) for name, value in record.headers],
        "value": record.value,
    }


def _event_id(record: Record) -> str:
    return dict(record.headers).get("ce_id", b"").decode(errors="replace")


def _at(record: Record, rule: str, detail: str) -> Violation:
    key = (record.key or b"").decode(errors="replace")
    return Violation(rule, key, detail, record.partition, record.offset, record.topic)
