"""Rule group 1: the envelope of every record, and the identity of events."""

import re
from collections.abc import Iterable
from operator import itemgetter
from typing import Any

import orjson

from services.ops.checker.facts import (
    CONTENT_TOPIC,
    INFLUENCER_TOPIC,
    MEDIA_TOPIC,
    LoggedEvent,
    Record,
    Violation,
)

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_ULID = r"[0-7][0-9A-HJKMNP-TV-Z]{25}"

_FORMS = {
    "ce_specversion": r"1\.0",
    "ce_id": rf"evt_{_ULID}",
    "ce_source": r"/services/(api|renderer|content)",
    "ce_type": r"[A-Z][A-Za-z]+",
    "ce_subject": rf"(inf|ast|cnt)_{_ULID}",
    "ce_time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
    "ce_dataschema": r"/schemas/events/[A-Z][A-Za-z]+/[1-9]\d*\.json",
    "ce_sequence": r"[1-9]\d*",
    "ce_organizationid": _UUID,
    "ce_projectid": _UUID,
    "ce_correlationid": rf"(job|req)_{_ULID}",
    "ce_causationid": rf"(evt|req)_{_ULID}",
    "traceparent": r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}",
    "content-type": r"application/json",
}
_PATTERNS = {name: re.compile(form, re.ASCII) for name, form in _FORMS.items()}
_NAMES = tuple(_FORMS)
_VALUES = itemgetter(*_NAMES)
_ALL_OF_THEM = re.compile("\n".join(_FORMS.values()).encode())
_PREFIXES = {INFLUENCER_TOPIC: "inf_", MEDIA_TOPIC: "ast_", CONTENT_TOPIC: "cnt_"}
_JOB_ID = re.compile(rf"job_{_ULID}")


def read_events(records: Iterable[Record]) -> tuple[list[LoggedEvent], list[Violation]]:
    """The events that can be read, in the order of `records`, and what is wrong with the rest."""
    events: list[LoggedEvent] = []
    violations: list[Violation] = []
    for record in records:
        event, faults = _read(record)
        violations += faults
        if event is not None:
            events.append(event)
    return events, violations + _identities(events)


def _read(record: Record) -> tuple[LoggedEvent | None, list[Violation]]:
    faults: list[Violation] = []
    headers = _headers_if_sound(record)
    if headers is None:
        headers, faults = _headers(record)
    data = _data(record)
    if data is None:
        faults.append(_at(record, "data-unreadable", "the value is not a JSON object"))
    if faults or data is None:
        return None, faults
    event = LoggedEvent(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        id=headers["ce_id"],
        type=headers["ce_type"],
        subject=headers["ce_subject"],
        organization_id=headers["ce_organizationid"],
        project_id=headers["ce_projectid"],
        sequence=int(headers["ce_sequence"]),
        time=headers["ce_time"],
        version=int(headers["ce_dataschema"].rpartition("/")[2].removesuffix(".json")),
        correlation_id=headers["ce_correlationid"],
        causation_id=headers["ce_causationid"],
        value=record.value or b"",
        data=data,
    )
    return event, _agreement(record, event, headers)


def _headers_if_sound(record: Record) -> dict[str, str] | None:
    """All headers judged at once; None when `_headers` must say what is wrong with them."""
    found = dict(record.headers)
    if len(found) != len(record.headers):
        return None
    try:
        values = b"\n".join(_VALUES(found))
    except (KeyError, TypeError):
        return None
    if not _ALL_OF_THEM.fullmatch(values):
        return None
    return dict(zip(_NAMES, values.decode().split("\n"), strict=True))


def _headers(record: Record) -> tuple[dict[str, str], list[Violation]]:
    found: dict[str, str] = {}
    faults = []
    for name, value in record.headers:
        if name in found and name in _PATTERNS:
            faults.append(_at(record, "header-repeated", name))
        found[name] = (value or b"").decode(errors="replace")
    for name, pattern in _PATTERNS.items():
        if name not in found:
            faults.append(_at(record, "header-missing", name))
        elif not pattern.fullmatch(found[name]):
            faults.append(_at(record, "header-malformed", f"{name}: {found[name][:80]!r}"))
    return found, faults


def _data(record: Record) -> dict[str, Any] | None:
    try:
        data = orjson.loads(record.value or b"")
    except orjson.JSONDecodeError:
        return None
    return data if isinstance(data, dict) else None


def _agreement(record: Record, event: LoggedEvent, headers: dict[str, str]) -> list[Violation]:
    """What one part of a record says of another."""
    faults = []
    if (record.key or b"").decode(errors="replace") != event.key:
        faults.append(
            event.violates("key-is-not-the-stream", f"the record's key is {record.key!r}")
        )
    if not event.subject.startswith(_PREFIXES[event.topic]):
        faults.append(event.violates("stream-of-another-topic", event.topic))
    if headers["ce_dataschema"].split("/")[3] != event.type:
        faults.append(event.violates("schema-of-another-type", headers["ce_dataschema"]))
    job_id = event.data.get("jobId")
    if job_id is not None and not (isinstance(job_id, str) and _JOB_ID.fullmatch(job_id)):
        faults.append(event.violates("job-id-malformed", repr(job_id)))
    elif job_id is not None and headers["ce_correlationid"] != job_id:
        faults.append(event.violates("correlation-is-not-the-job", headers["ce_correlationid"]))
    return faults


def _identities(events: list[LoggedEvent]) -> list[Violation]:
    """Event ids are unique for ever; a stream never leaves its partition."""
    faults = []
    by_id: dict[str, LoggedEvent] = {}
    partitions: dict[str, int] = {}
    for event in events:
        key = event.key
        first = by_id.setdefault(event.id, event)
        # The same event twice is a repeated sequence, and named as that.
        if first is not event and (first.stream, first.sequence) != (event.stream, event.sequence):
            faults.append(
                event.violates("event-id-repeated", f"{event.id}, first at {_place(first)}")
            )
        if partitions.setdefault(key, event.partition) != event.partition:
            faults.append(event.violates("stream-on-two-partitions", f"also on {partitions[key]}"))
    return faults


def _place(event: LoggedEvent) -> str:
    return f"{event.partition}:{event.offset}"


def _at(record: Record, rule: str, detail: str) -> Violation:
    key = (record.key or b"").decode(errors="replace")
    return Violation(rule, key, detail, record.partition, record.offset, record.topic)
