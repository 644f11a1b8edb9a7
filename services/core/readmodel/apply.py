"""The projection, pure: states and records of the log in, what changes in the read models out.

A record that can't be applied parks its stream: it and every later record of the same key go to
quarantine, in order, and no other stream notices. An event that is on the log again goes there
alone: its stream goes on. A record that an operator has skipped is passed over, whoever folds.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import cast

from schemas.events import ContentGenerated, Event, InfluencerImageRendered, MediaAssetUploaded
from services.core.domain.aggregates import Aggregate, aggregate_of
from services.core.domain.content import ContentStream
from services.core.domain.errors import ImpossibleEvent
from services.core.domain.media import MediaAssetStream, evolve_media
from services.core.domain.state import InfluencerStream, Job
from services.core.readmodel.records import LogRecord, StreamId
from services.core.readmodel.repeats import REPEATED, Written, WrittenRows
from services.core.readmodel.rows import (
    EventRow,
    MediaAssetRow,
    QuarantineRow,
    event_row,
    quarantine_row,
    rendered_asset_row,
    uploaded_asset_row,
)
from services.core.readmodel.skips import NO_SKIPS, Skip, Skips, passed_over, skip_of

JobStream = InfluencerStream | ContentStream
"""The streams that have a state in the read models, and jobs."""

FOLLOWS_QUARANTINED = "an earlier record of the stream is in quarantine"


@dataclass(slots=True)
class Changes:
    """What one batch of records does to the read models.

    `streams` and `jobs` are the states that advanced, as of the last record applied; `parked`
    are the streams that entered quarantine with this batch. `uploads` are assets that the append
    has written already, unless read models are built anew. `known` counts the events that the
    states held already, as the append leaves them, or as a log with repeats does. `passed` are the
    keys of streams that went on behind a skipped record as if it had been folded.
    """

    streams: dict[str, JobStream] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    events: list[EventRow] = field(default_factory=list)
    assets: list[MediaAssetRow] = field(default_factory=list)
    uploads: list[MediaAssetRow] = field(default_factory=list)
    quarantine: list[QuarantineRow] = field(default_factory=list)
    parked: set[StreamId] = field(default_factory=set)
    skipped: int = 0
    passed: set[str] = field(default_factory=set)
    known: int = 0
    checked: WrittenRows = field(default_factory=WrittenRows)


def apply(
    records: Iterable[LogRecord],
    states: Mapping[str, JobStream],
    quarantined: Collection[StreamId] = (),
    changes: Changes | None = None,
    *,
    skips: Skips = NO_SKIPS,
    written: Written | None = None,
) -> Changes:
    """What `records`, each stream's in order, do to read models that hold `states`.

    `states` maps a key to the stream's state; a key that is not there begins from nothing.
    A record that a state already holds only adds what the state does not carry: the event's own
    row and its media asset. What it does is added to `changes`, those of the records before.
    `skips` are those of the records' streams. `written` are the events that were folded before;
    without them, it is taken for granted that none of these is there already.
    """
    changes = changes or Changes()
    parked = {*quarantined, *changes.parked}
    for record in records:
        if parked and record.stream in parked:
            changes.quarantine.append(quarantine_row(record, FOLLOWS_QUARANTINED))
            continue
        if skips and (skip := skip_of(record, skips)):
            _pass_over(record.stream.key, skip, changes, states)
            continue
        reason = _fault_of_applying(record, changes, states, written)
        if reason == REPEATED:
            changes.quarantine.append(quarantine_row(record, reason, repeated=True))
        elif reason is not None:
            parked.add(record.stream)
            changes.parked.add(record.stream)
            changes.quarantine.append(quarantine_row(record, reason))
    return changes


def park(record: LogRecord, reason: str, is_parked: bool) -> Changes:
    """Only puts `record` into quarantine: Postgres would not take what it says."""
    changes = Changes(quarantine=[quarantine_row(record, reason)])
    if not is_parked:
        changes.parked.add(record.stream)
    return changes


def _fault_of_applying(
    record: LogRecord, changes: Changes, states: Mapping[str, JobStream], written: Written | None
) -> str | None:
    if record.event is None:
        return record.fault or "unreadable"
    try:
        row = event_row(record, record.event)
        if written and _is_repeated(row, changes.checked, written):
            return REPEATED
        _apply_event(record, record.event, row, changes, states)
        if written:
            changes.checked.add(row)
    except ImpossibleEvent as fault:
        return str(fault)
    except Exception as fault:  # a bug may hold up its stream, never the others
        return f"{type(fault).__name__}: {fault}"
    return None


def _is_repeated(row: EventRow, checked: WrittenRows, written: Written) -> bool:
    """Raises ImpossibleEvent for another event than the one that has its sequence."""
    is_same = checked.has(row)
    is_same = written.has(row) if is_same is None else is_same
    if is_same is False:
        raise ImpossibleEvent(row.type, f"another event with sequence {row.sequence} is before it")
    return bool(is_same)


def _apply_event(
    record: LogRecord,
    event: Event,
    row: EventRow,
    changes: Changes,
    states: Mapping[str, JobStream],
) -> None:
    if type(event.data) is MediaAssetUploaded:
        # Its only event: there is no state to begin from.
        evolve_media(MediaAssetStream(), event)
        changes.uploads.append(uploaded_asset_row(event, event.data))
    else:
        _advance(record.stream.key, event, changes, states)
    changes.events.append(row)
    if type(event.data) is InfluencerImageRendered:
        changes.assets.append(rendered_asset_row(event, event.subject, event.data.image))
    elif type(event.data) is ContentGenerated:
        changes.assets.append(rendered_asset_row(event, event.data.influencer_id, event.data.image))


def _advance(key: str, event: Event, changes: Changes, states: Mapping[str, JobStream]) -> None:
    aggregate = _aggregate_of(event)
    state = changes.streams.get(key) or states.get(key) or aggregate.initial_state
    if event.sequence > state.sequence:
        after = cast(JobStream, aggregate.evolve(state, event))
        changes.streams[key] = after
        if after.job:
            changes.jobs[after.job.job_id] = after.job
    else:
        changes.known += 1


def _pass_over(key: str, skip: Skip, changes: Changes, states: Mapping[str, JobStream]) -> None:
    changes.skipped += 1
    state = changes.streams.get(key) or states.get(key)
    if skip.sequence_after <= (state.sequence if state else 0):
        return
    changes.passed.add(key)
    if state:
        changes.streams[key] = after = passed_over(state, skip.sequence_after)
        if after.job:
            changes.jobs[after.job.job_id] = after.job


def _aggregate_of(event: Event) -> Aggregate:
    try:
        return aggregate_of(event.subject)
    except KeyError:
        raise ImpossibleEvent(event.type, f"{event.subject} is no stream of ours") from None
