"""A record of the log as the projection takes it: decoded, or with what is wrong with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol

from schemas.events import Event, UndecodableEvent, decode
from schemas.ids import parse_plain_uuid

Headers = Sequence[tuple[str, bytes | None]]


class StreamId(NamedTuple):
    """One ordered stream: a topic and a key. Records without a key are one stream, `""`."""

    topic: str
    key: str


class KafkaRecord(Protocol):
    """What is read of a consumer's record."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    headers: Headers
    value: bytes | None


@dataclass(slots=True)
class LogRecord:
    """`event` is None for a record that can't be read; `fault` says why then."""

    stream: StreamId
    partition: int
    offset: int
    headers: Headers
    value: bytes | None
    event: Event | None
    fault: str | None = None


def read_record(record: KafkaRecord) -> LogRecord:
    """Decodes `record`; never raises."""
    key = storable(record.key or b"")
    event, fault = _decoded(record, key)
    return LogRecord(
        StreamId(record.topic, key),
        record.partition,
        record.offset,
        record.headers,
        record.value,
        event,
        fault,
    )


def _decoded(record: KafkaRecord, key: str) -> tuple[Event | None, str | None]:
    try:
        event = decode(record.headers, record.value)
    except UndecodableEvent as fault:
        return None, fault.reason
    if event.key != key:
        return None, f"the key is not that of its event, {event.key}"
    if not (is_canonical_uuid(event.organization_id) and is_canonical_uuid(event.project_id)):
        return None, "ce_organizationid or ce_projectid is not a UUID in lower case"
    return event, None


def storable(text: bytes) -> str:
    """`text` as Postgres can hold it: what is not UTF-8, and NUL, spelled with a backslash."""
    return text.decode(errors="backslashreplace").replace("\x00", "\\x00")


@lru_cache(maxsize=4096)
def is_canonical_uuid(text: str) -> bool:
    try:
        return parse_plain_uuid(text) == text
    except ValueError:
        return False
