"""What an exported log adds up to: counts, each key's sequence, and one hash over every line.

The export and the check of a file both keep one, so a footer is right exactly when it equals what
the lines before it add up to.
"""

import hashlib
import re
from collections import Counter
from typing import Any, NamedTuple

from services.ops.archive.lines import ArchivedRecord

FAULTS_NAMED = 100
_SEQUENCE = re.compile(rb"[1-9][0-9]{0,18}")


class LogFault(NamedTuple):
    """Something that is not as it must be on the log itself, before anything was exported."""

    topic: str
    partition: int
    offset: int
    says: str

    def __str__(self) -> str:
        return f"{self.topic} {self.partition}:{self.offset} {self.says}"


class Tally:
    """`begins_anywhere`: an export of the latest events holds no stream's beginning."""

    def __init__(self, *, begins_anywhere: bool = False) -> None:
        self.records = 0
        self.faults: list[LogFault] = []
        self.fault_count = 0
        self._begins_anywhere = begins_anywhere
        self._of_topic: Counter[str] = Counter()
        self._streams = 0
        self._hash = hashlib.sha256()
        self._place: tuple[str, int] | None = None
        self._sequences: dict[bytes, int] = {}

    def add_line(self, line: bytes) -> None:
        self._hash.update(line)

    def add(self, record: ArchivedRecord, line: bytes) -> None:
        self.add_line(line)
        self.records += 1
        self._of_topic[record.topic] += 1
        if self._place != (record.topic, record.partition):
            # A key is on one partition, so its last sequence needn't be kept for longer.
            self._place = record.topic, record.partition
            self._sequences.clear()
        says = self._fault_of(record)
        if says is not None:
            self.fault_count += 1
            if len(self.faults) < FAULTS_NAMED:
                self.faults.append(LogFault(record.topic, record.partition, record.offset, says))

    def footer(self) -> dict[str, Any]:
        return {
            "records": self.records,
            "topics": dict(sorted(self._of_topic.items())),
            "streams": self._streams,
            "faults": self.fault_count,
            "sha256": self._hash.hexdigest(),
        }

    def _fault_of(self, record: ArchivedRecord) -> str | None:
        key, sequence = record.key or b"", sequence_of(record)
        if sequence is None:
            return "is not an event of its key's stream"
        last = self._sequences.get(key)
        if last is None:
            self._streams += 1
        self._sequences[key] = max(sequence, last or 0)
        if last is None and self._begins_anywhere:
            return None
        expected = (last or 0) + 1
        if sequence == expected:
            return None
        return (
            f"{key.decode(errors='backslashreplace')}: expected sequence {expected}, got {sequence}"
        )


def sequence_of(record: ArchivedRecord) -> int | None:
    """As its headers say; None when they say none, or are another stream's."""
    headers = dict(record.headers)
    written = headers.get("ce_sequence") or b""
    key = (headers.get("ce_organizationid") or b"") + b"/" + (headers.get("ce_subject") or b"")
    return int(written) if key == record.key and _SEQUENCE.fullmatch(written) else None
