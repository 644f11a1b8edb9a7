"""The lines of an exported log.

A header, a line for each record, a footer. Records stand partition after partition, each in the
order of the log, so each key's are in order too. Bytes are text where they are UTF-8, otherwise
`{"base64": …}`: either way exactly the same bytes come back.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

FORMAT = "influencer-log"
VERSION = 1


class MalformedLine(ValueError):
    """Not a line that an export writes."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What of the log was wanted; `topics` and `since` (RFC 3339) cut, None and () don't."""

    topics: tuple[str, ...] = ()
    since: str | None = None
    influencer: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {"topics": list(self.topics), "since": self.since, "influencer": self.influencer}


@dataclass(frozen=True, slots=True)
class Header:
    """`spans` maps a topic, without prefix, to first and end offset of each of its partitions."""

    exported_at: str
    selection: Selection
    spans: Mapping[str, Sequence[tuple[int, int]]]


@dataclass(frozen=True, slots=True)
class ArchivedRecord:
    """A record as it stood on the log; `topic` without prefix, `timestamp` in milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    value: bytes | None


def header_line(header: Header) -> bytes:
    return _line(
        {
            "format": FORMAT,
            "version": VERSION,
            "exportedAt": header.exported_at,
            "selection": header.selection.as_json(),
            "spans": header.spans,
        }
    )


def read_header(line: bytes) -> Header:
    """Raises MalformedLine."""
    read = _object(line)
    if read.get("format") != FORMAT:
        raise MalformedLine("it does not begin as an exported log does")
    if read.get("version") != VERSION:
        raise MalformedLine(f"its version is {read.get('version')}, this program reads {VERSION}")
    try:
        wanted = read["selection"]
        selection = Selection(tuple(wanted["topics"]), wanted["since"], wanted["influencer"])
        spans = {
            str(topic): [(int(start), int(end)) for start, end in partitions]
            for topic, partitions in read["spans"].items()
        }
        return Header(read["exportedAt"], selection, spans)
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise MalformedLine("the header can't be read") from fault


def record_line(record: ArchivedRecord) -> bytes:
    return _line(
        {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "timestamp": record.timestamp,
            "key": _spelled(record.key),
            "headers": [(name, _spelled(value)) for name, value in record.headers],
            "value": _spelled(record.value),
        }
    )


def read_record_line(line: bytes) -> ArchivedRecord:
    """Raises MalformedLine."""
    read = _object(line)
    try:
        return ArchivedRecord(
            read["topic"],
            read["partition"],
            read["offset"],
            read["timestamp"],
            _bytes_of(read["key"]),
            tuple((name, _bytes_of(value)) for name, value in read["headers"]),
            _bytes_of(read["value"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise MalformedLine("not a record") from fault


def footer_line(footer: Mapping[str, Any]) -> bytes:
    return _line({"footer": footer})


def is_footer(line: bytes) -> bool:
    return line.startswith(b'{"footer":')


def read_footer(line: bytes) -> Any:
    """Raises MalformedLine."""
    return _object(line)["footer"]


def _line(value: Mapping[str, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)


def _object(line: bytes) -> dict[str, Any]:
    try:
        read = orjson.loads(line)
    except orjson.JSONDecodeError as fault:
        raise MalformedLine("not JSON") from fault
    if not isinstance(read, dict):
        raise MalformedLine("not a JSON object")
    return read


def _spelled(data: bytes | None) -> str | dict[str, str] | None:
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def _bytes_of(spelled: Any) -> bytes | None:
    if spelled is None:
        return None
    if isinstance(spelled, str):
        return spelled.encode()
    try:
        return base64.b64decode(spelled["base64"], validate=True)
    except binascii.Error as fault:
        raise MalformedLine("not base64") from fault
