"""The log folded up to the position, as the projector folds it; what comes later is put aside."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from struct import Struct

import orjson

from schemas.events import Event, MediaAssetUploaded
from services.core.domain.aggregates import StreamState, aggregate_of
from services.core.domain.state import Job
from services.core.readmodel.apply import Changes, apply
from services.core.readmodel.records import LogRecord, StreamId
from services.core.readmodel.rows import EventRow, MediaAssetRow, state_json
from services.core.readmodel.skips import NO_SKIPS, Skips
from services.ops.verification.differences import canonical
from services.ops.verification.store import (
    FoldStore,
    KeptAsset,
    KeptStream,
    LaterEvent,
    QuarantinedRecord,
)

DIGEST = 8
PLACED = Struct(f">q{DIGEST}sq")
"""One event of a stream: its sequence, the digest of its row, and its offset."""


@dataclass(slots=True)
class FoldedStream:
    topic: str
    partition: int
    state: StreamState | None = None
    jobs: dict[str, Job] = field(default_factory=dict)
    events: bytearray = field(default_factory=bytearray)

    @property
    def sequence(self) -> int:
        return self.state.sequence if self.state else 0

    def add(self, row: EventRow) -> None:
        """Takes in an event whose sequence is free."""
        placed = PLACED.pack(row.sequence, event_digest(row), row.record_offset)
        if row.sequence > self._last:
            self.events += placed
            return
        # Only behind a skipped record may an earlier one still come.
        events = {sequence: each for each, sequence in self._placed()}
        events[row.sequence] = placed
        self.events = bytearray(b"".join(events[sequence] for sequence in sorted(events)))

    def has(self, row: EventRow) -> bool | None:
        """As `Written`: what is kept of an event also tells its place."""
        if row.sequence > self._last:
            return None
        for placed, sequence in self._placed():
            if sequence == row.sequence:
                _, digest, offset = PLACED.unpack(placed)
                there = row._replace(
                    topic=self.topic, partition=self.partition, record_offset=offset
                )
                return bool(digest == event_digest(there))
        return None

    @property
    def _last(self) -> int:
        if not self.events:
            return 0
        (sequence, *_) = PLACED.unpack(self.events[-PLACED.size :])
        return int(sequence)

    def _placed(self) -> Iterable[tuple[bytes, int]]:
        for start in range(0, len(self.events), PLACED.size):
            placed = bytes(self.events[start : start + PLACED.size])
            yield placed, PLACED.unpack(placed)[0]


class LogFold:
    """Folds records in chunks; at most `kept` streams are in memory between two of them.

    `quarantined` are the streams that the read models hold in quarantine, and the offset from which
    on: their records are not folded, as they were not. `passed` are the keys of streams of which an
    event was skipped.
    """

    def __init__(
        self,
        store: FoldStore,
        kept: int,
        quarantined: Mapping[StreamId, int],
        skips: Skips = NO_SKIPS,
    ) -> None:
        self.passed: set[str] = set()
        self._store = store
        self._kept = kept
        self._quarantined = quarantined
        self._skips = skips
        self._streams: dict[str, FoldedStream] = {}
        self._parked: set[StreamId] = set()
        self._has_evicted = False

    @property
    def in_memory(self) -> int:
        """Streams."""
        return len(self._streams)

    def add(self, records: Sequence[LogRecord]) -> None:
        """Folds `records`, each stream's in order."""
        folded = records
        if self._quarantined:
            held_back = [record for record in records if self._is_held_back(record)]
            self._store.keep_quarantine(_quarantined_record(each, HELD_BACK) for each in held_back)
            folded = [record for record in records if not self._is_held_back(record)]
        streams = self._load({record.stream.key: record for record in folded})
        states = {key: stream.state for key, stream in streams.items() if stream.state}
        changes = apply(
            folded,
            states,  # type: ignore[arg-type]
            self._parked,
            skips=self._skips,
            written=_Folded(streams),
        )
        self._take(changes, folded)
        self._evict()

    def finish(self) -> None:
        self._keep(self._streams)

    def _is_held_back(self, record: LogRecord) -> bool:
        return record.offset >= self._quarantined.get(record.stream, record.offset + 1)

    def _load(self, records: Mapping[str, LogRecord]) -> dict[str, FoldedStream]:
        """The streams, each now the last in the order of eviction."""
        streams = {}
        for key, record in records.items():
            stream = self._streams.pop(key, None) or self._reload(key)
            streams[key] = stream or FoldedStream(record.stream.topic, record.partition)
        self._streams |= streams
        return streams

    def _reload(self, key: str) -> FoldedStream | None:
        found = self._store.find_stream(key) if self._has_evicted else None
        return _reloaded(found) if found else None

    def _take(self, changes: Changes, records: Iterable[LogRecord]) -> None:
        for key, state in changes.streams.items():
            self._streams[key].state = state
        for job in changes.jobs.values():
            self._streams[f"{job.organization_id}/{job.stream_id}"].jobs[job.job_id] = job
        if changes.uploads:
            self._take_uploads(changes.uploads, records)
        for row in changes.events:
            self._streams[f"{row.organization_id}/{row.stream_id}"].add(row)
        self._store.keep_assets(map(_kept_asset, (*changes.assets, *changes.uploads)))
        self._store.keep_quarantine(_quarantined(changes))
        self._parked |= changes.parked
        self.passed |= changes.passed

    def _take_uploads(self, uploads: Iterable[MediaAssetRow], records: Iterable[LogRecord]) -> None:
        keys = {f"{row.organization_id}/{row.asset_id}" for row in uploads}
        for record in records:
            if record.stream.key in keys and record.event:
                stream = self._streams[record.stream.key]
                if stream.state is None and type(record.event.data) is MediaAssetUploaded:
                    stream.state = _evolved(record.event)

    def _evict(self) -> None:
        """To the disk with those that changed least recently."""
        excess = len(self._streams) - self._kept
        if excess <= 0:
            return
        # Half of what may be kept, so that it is not done for every chunk.
        self._keep(list(self._streams)[: excess + self._kept // 2])
        self._has_evicted = True

    def _keep(self, keys: Iterable[str]) -> None:
        leaving = ((key, self._streams.pop(key)) for key in tuple(keys))
        self._store.keep_streams(_kept(*each) for each in leaving if each[1].sequence)


class _Folded:
    """The events of a chunk's streams, up to the chunk."""

    def __init__(self, streams: Mapping[str, FoldedStream]) -> None:
        self._streams = streams

    def has(self, row: EventRow) -> bool | None:
        return self._streams[f"{row.organization_id}/{row.stream_id}"].has(row)


HELD_BACK = "in quarantine already"


def later_event(record: LogRecord, is_settled: bool) -> LaterEvent | None:
    """None for a record that is no event of ours: the read models haven't come to it yet."""
    if record.event is None:
        return None
    headers = [(name, (value or b"").decode()) for name, value in record.headers]
    return LaterEvent(
        record.stream.key,
        record.event.sequence,
        record.stream.topic,
        is_settled,
        orjson.dumps(headers),
        record.value or b"",
    )


def event_digest(row: EventRow) -> bytes:
    """What EVENT_DIGEST makes of the row in Postgres."""
    moment = row.occurred_at.isoformat(sep=" ")
    seconds, fraction = moment[:19], moment[19:-6].rstrip("0").rstrip(".")
    line = "\x1f".join(
        (
            row.organization_id,
            row.stream_id,
            str(row.sequence),
            row.topic,
            str(row.partition),
            str(row.record_offset),
            row.event_id,
            row.type,
            str(row.version),
            row.project_id,
            f"{seconds}{fraction}+00",
            row.source,
            row.correlation_id,
            row.causation_id,
            row.traceparent,
            row.data,
        )
    )
    return sha256(line.encode()).digest()[:DIGEST]


EVENT_DIGEST = f"""
substring(sha256(convert_to(concat_ws(E'\\x1f', organization_id, stream_id, sequence, topic,
    partition, record_offset, event_id, type, version, project_id, occurred_at, source,
    correlation_id, causation_id, traceparent, data), 'UTF8')) from 1 for {DIGEST})
"""
"""In a session whose time zone is UTC."""


def asset_columns(row: MediaAssetRow) -> dict[str, object]:
    return {**row._asdict(), "state": orjson.loads(row.state)}


def _evolved(event: Event) -> StreamState:
    aggregate = aggregate_of(event.subject)
    return aggregate.evolve(aggregate.initial_state, event)


def _kept_asset(row: MediaAssetRow) -> KeptAsset:
    return KeptAsset(f"{row.organization_id}/{row.asset_id}", canonical(asset_columns(row)))


def _quarantined(changes: Changes) -> Iterable[QuarantinedRecord]:
    for row in changes.quarantine:
        yield QuarantinedRecord(
            row.topic, row.partition, row.record_offset, row.stream_key, row.reason
        )


def _quarantined_record(record: LogRecord, reason: str) -> QuarantinedRecord:
    place = record.stream.topic, record.partition, record.offset
    return QuarantinedRecord(*place, record.stream.key, reason)


def _kept(key: str, stream: FoldedStream) -> KeptStream:
    current = getattr(stream.state, "job", None)
    former = [job for job in stream.jobs.values() if job is not current]
    return KeptStream(
        key,
        stream.topic,
        stream.partition,
        stream.sequence,
        state_json(stream.state).encode() if stream.state else b"",
        f"[{','.join(map(state_json, former))}]".encode(),
        bytes(stream.events),
    )


def _reloaded(kept: KeptStream) -> FoldedStream:
    stream = FoldedStream(kept.topic, kept.partition, events=bytearray(kept.events))
    if kept.state:
        state_type = aggregate_of(kept.key.partition("/")[2]).state_type
        stream.state = state_type.model_validate_json(kept.state)
        current = getattr(stream.state, "job", None)
        former = (Job.model_validate(job) for job in orjson.loads(kept.jobs))
        stream.jobs = {job.job_id: job for job in (*former, *([current] if current else ()))}
    return stream
