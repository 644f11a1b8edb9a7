"""Rule group 4: the log against what clients were answered."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from services.ops.checker.facts import Journal, JournalEntry, LoggedEvent, StreamKey, Violation
from services.ops.checker.streams import Streams

OUTCOMES = ("accepted", "refused", "unknown")


class JournalUnreadable(ValueError):
    """A line of the journal file is not an entry."""


def read_journal(path: Path, complete: bool) -> Journal:
    """Raises JournalUnreadable and OSError."""
    entries = []
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                entries.append(_entry(line, f"{path.name}:{number}"))
    return Journal(entries, complete)


def _entry(line: bytes, place: str) -> JournalEntry:
    try:
        read = orjson.loads(line)
    except orjson.JSONDecodeError as fault:
        raise JournalUnreadable(f"{place} is not JSON: {fault}") from None
    if not isinstance(read, dict) or read.get("outcome") not in OUTCOMES:
        raise JournalUnreadable(f"{place}: outcome is none of {', '.join(OUTCOMES)}")
    return JournalEntry(
        read["outcome"],
        read.get("organizationId"),
        read.get("contentId") or read.get("assetId") or read.get("influencerId"),
        read.get("jobId"),
        read.get("idempotencyKey"),
        read.get("requestId"),
        read.get("sequence"),
        read.get("causedEvent", False),
    )


@dataclass(slots=True)
class _Log:
    """What is looked up in it."""

    streams: Streams
    causations: Mapping[str, LoggedEvent]
    homes: dict[str, str] = field(init=False)
    keys: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        streams = self.streams.values()
        self.homes = {job_id: stream.key for stream in streams for job_id in stream.jobs}
        self.keys = {stream.key: stream.sequence for stream in streams}


def check_journal(
    journal: Journal, streams: Streams, events: Iterable[LoggedEvent] = ()
) -> list[Violation]:
    """Accepted is on the log; refused left nothing; the same request had the same answer; nothing
    is there that nobody asked for."""
    log = _Log(streams, {event.causation_id: event for event in events})
    entries = list(dict.fromkeys(journal.entries))
    possible = _possible(entries)
    violations = _disagreements(entries)
    for entry in entries:
        if entry.outcome == "accepted":
            violations += _missing(entry, log)
        elif entry.outcome == "refused":
            violations += _left_by_refusal(entry, log, possible)
    return violations + (_unasked(entries, possible, streams) if journal.complete else [])


def _missing(entry: JournalEntry, log: _Log) -> list[Violation]:
    key = _key(entry)
    if entry.job_id and entry.job_id not in log.homes:
        return [Violation("accepted-but-missing", key, f"job {entry.job_id}")]
    if entry.job_id and _names_stream(entry) and log.homes[entry.job_id] != key:
        detail = f"job {entry.job_id} is on {log.homes[entry.job_id]}"
        return [Violation("accepted-on-another-stream", key, detail)]
    if not entry.job_id and _names_stream(entry) and key not in log.keys:
        return [Violation("accepted-but-missing", key, "the stream")]
    if entry.sequence and entry.sequence > log.keys.get(key, 0):
        return [Violation("accepted-but-missing", key, f"sequence {entry.sequence}")]
    if entry.caused_event and entry.request_id not in log.causations:
        return [Violation("accepted-but-missing", key, f"an event of {entry.request_id}")]
    return []


def _left_by_refusal(entry: JournalEntry, log: _Log, possible: "_Possible") -> list[Violation]:
    left = None
    event = log.causations.get(entry.request_id or "")
    if event is not None:
        left = f"{event.type} {event.id} of {entry.request_id}"
    elif entry.job_id and entry.job_id in log.homes and entry.job_id not in possible.jobs:
        left = f"job {entry.job_id}"
    elif not entry.job_id and _stream(entry) in log.streams:
        left = "the stream" if _stream(entry) not in possible.streams else None
    return [Violation("refused-but-logged", _key(entry), left)] if left else []


def _disagreements(entries: Iterable[JournalEntry]) -> list[Violation]:
    """Only a success is kept under its key: then the same ids are answered for ever."""
    first: dict[tuple[str | None, str], JournalEntry] = {}
    violations = []
    for entry in entries:
        if entry.idempotency_key is None or entry.outcome == "unknown":
            continue
        place = (entry.organization_id, entry.idempotency_key)
        if entry.outcome == "accepted":
            earlier = first.setdefault(place, entry)
            if (earlier.stream_id, earlier.job_id) == (entry.stream_id, entry.job_id):
                continue
        if place in first:
            detail = f"{entry.idempotency_key}: {_told(first[place])}, then {_told(entry)}"
            violations.append(Violation("answers-disagree", _key(entry), detail))
    return violations


def _told(entry: JournalEntry) -> str:
    return f"{entry.outcome} {entry.stream_id or ''} {entry.job_id or ''}".rstrip()


@dataclass(frozen=True, slots=True)
class _Possible:
    """What requests may have led to that were accepted, or not answered."""

    streams: set[StreamKey]
    jobs: set[str]


def _possible(entries: Sequence[JournalEntry]) -> _Possible:
    """A request whose last answer is a refusal led to nothing, however often it was sent."""
    refused = _keys(entries, "refused") - _keys(entries, "accepted")
    counted = [
        entry
        for entry in entries
        if entry.outcome != "refused" and entry.idempotency_key not in refused
    ]
    streams = {_stream(entry) for entry in counted if _names_stream(entry)}
    return _Possible(streams, {entry.job_id for entry in counted if entry.job_id})


def _keys(entries: Iterable[JournalEntry], *outcomes: str) -> set[str]:
    return {e.idempotency_key for e in entries if e.idempotency_key and e.outcome in outcomes}


def _unasked(
    entries: Sequence[JournalEntry], possible: _Possible, streams: Streams
) -> list[Violation]:
    """An unanswered request without ids may have led to any one stream of its organization."""
    refused = {_stream(entry) for entry in entries if entry.outcome == "refused"}
    answered = _keys(entries, "accepted", "refused")
    unanswered = Counter(
        entry.organization_id
        for entry in entries
        if entry.outcome == "unknown"
        and not (entry.stream_id or entry.job_id or entry.idempotency_key in answered)
    )
    violations = []
    for stream_key, stream in streams.items():
        asked_for = stream_key in possible.streams or possible.jobs & stream.jobs.keys()
        if asked_for or stream_key in refused:
            continue
        if unanswered[stream.organization_id] > 0:
            unanswered[stream.organization_id] -= 1
            continue
        violations.append(Violation("nobody-asked-for", stream.key, f"{stream.sequence} events"))
    return violations


def _names_stream(entry: JournalEntry) -> bool:
    return bool(entry.organization_id and entry.stream_id)


def _stream(entry: JournalEntry) -> StreamKey:
    return (entry.organization_id or "", entry.stream_id or "")


def _key(entry: JournalEntry) -> str:
    return f"{entry.organization_id or '?'}/{entry.stream_id or '?'}"
