"""One stream's rows beside what its events have come to. Pure.

A row is compared with the fold at the sequence that it carries itself: the append writes rows of
streams, influencers, jobs and uploads before their events are on the log. Such a row is ahead of
the position; the events up to it are taken from the log behind the position, or from the outbox.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from schemas.events import UndecodableEvent, decode
from services.core.domain.aggregates import StreamState, aggregate_of
from services.core.domain.errors import ImpossibleEvent
from services.core.readmodel.rows import state_json
from services.ops.verification.differences import Comparison, Row
from services.ops.verification.store import KeptStream, LaterEvent

Json = dict[str, Any]

STREAMS = "event_log.streams"
INFLUENCERS = "read_model.influencers"
JOBS = "read_model.jobs"
EVENTS = "read_model.events"
ASSETS = "read_model.media_assets"
QUARANTINE = "read_model.quarantine"
POSITIONS = "read_model.projection_offsets"


@dataclass(slots=True)
class StreamRows:
    """What the database holds of one stream; `events` are the digests of its rows, in order."""

    stream: Row | None = None
    influencer: Row | None = None
    jobs: list[Row] = field(default_factory=list)
    events: bytes = b""


class Timeline:
    """A stream as the log says it was: at the position, and event by event after it."""

    def __init__(
        self, key: str, kept: KeptStream | None, find_later: Callable[[str], list[LaterEvent]]
    ) -> None:
        self.key = key
        self.sequence = kept.sequence if kept else 0
        self.state: Json = orjson.loads(kept.state) if kept else {}
        self._kept = kept
        self._former: list[Json] = orjson.loads(kept.jobs) if kept else []
        self._find_later = find_later
        self._later: dict[int, LaterEvent] | None = None
        self._states: list[tuple[int, Json]] | None = None

    @property
    def jobs(self) -> list[Json]:
        current = self.state.get("job")
        return [*self._former, *([current] if current else ())]

    @property
    def later(self) -> Mapping[int, LaterEvent]:
        """Events after the position by their sequence, each once."""
        if self._later is None:
            # One may be on the log and still in the outbox, which settles it.
            found = sorted(self._find_later(self.key), key=lambda event: event.is_settled)
            self._later = {e.sequence: e for e in found if e.sequence > self.sequence}
        return self._later

    @property
    def settled(self) -> int:
        """The sequence that the stream had at least when the snapshot was taken."""
        settled = (sequence for sequence, event in self.later.items() if event.is_settled)
        return max(settled, default=self.sequence)

    def at(self, sequence: int) -> Json | None:
        """The stream's state; None where log and outbox hold no such sequence."""
        if sequence == self.sequence:
            return self.state
        if sequence < self.sequence:
            return None
        return dict(self._states_after()).get(sequence)

    def job_at(self, job_id: str, sequence: int) -> Json | None:
        """The job as its event with that sequence left it, behind the position."""
        if sequence <= self.sequence:
            return None
        for _, state in self._states_after():
            job = state.get("job")
            if job and (job["jobId"], job["sequence"]) == (job_id, sequence):
                return dict(job)
        return None

    def _states_after(self) -> list[tuple[int, Json]]:
        if self._states is None:
            self._states = []
            state = self._begin()
            while event := self.later.get(state.sequence + 1):
                try:
                    state = _evolved(self.key, state, event)
                except (ImpossibleEvent, UndecodableEvent):
                    break  # it is not folded yet: the projector will say what is wrong with it
                self._states.append((state.sequence, orjson.loads(state_json(state))))
        return self._states

    def _begin(self) -> StreamState:
        aggregate = aggregate_of(self.key.partition("/")[2])
        if self._kept is None:
            return aggregate.initial_state
        return aggregate.state_type.model_validate_json(self._kept.state)


def compare_stream(
    comparison: Comparison, timeline: Timeline, rows: StreamRows, *, is_quarantined: bool
) -> None:
    """Compares all but the rows of events, of which digests are at hand.

    Behind a record in quarantine nobody can fold: there only what doesn't go further is judged.
    """
    _compare_stream_row(comparison, timeline, rows.stream, is_quarantined)
    _compare_influencer(comparison, timeline, rows.influencer)
    _compare_jobs(comparison, timeline, rows.jobs)


def _compare_stream_row(
    comparison: Comparison, timeline: Timeline, row: Row | None, is_quarantined: bool
) -> None:
    sequence = row["sequence"] if row else 0
    if is_quarantined and sequence > timeline.sequence:
        return
    due = max(sequence, timeline.settled)
    state = timeline.at(due)
    if state is None:  # it says that it is ahead of all that is known
        due, state = timeline.sequence, timeline.state
    if state or row:
        expected = stream_columns(timeline.key, due, state) if state else None
        comparison.compare(STREAMS, timeline.key, expected, row)


def _compare_influencer(comparison: Comparison, timeline: Timeline, row: Row | None) -> None:
    sequence = max(row["sequence"] if row else 0, timeline.sequence)
    state = timeline.at(sequence) or {}
    expected = influencer_columns(state["influencer"], sequence) if "influencer" in state else None
    if expected is None and "influencer" in timeline.state:
        expected = influencer_columns(timeline.state["influencer"], timeline.sequence)
    if expected or row:
        comparison.compare(INFLUENCERS, timeline.key, expected, row)


def _compare_jobs(comparison: Comparison, timeline: Timeline, rows: Sequence[Row]) -> None:
    expected = {job["jobId"]: job for job in timeline.jobs}
    for row in rows:
        job = expected.pop(row["job_id"], None)
        if job is None or row["sequence"] > job["sequence"]:
            job = timeline.job_at(row["job_id"], row["sequence"]) or job
        comparison.compare(JOBS, row["job_id"], job_columns(job) if job else None, row)
    for job_id, job in expected.items():
        comparison.compare(JOBS, job_id, job_columns(job), None)


def expected_asset(timeline: Timeline) -> Row | None:
    """The row of an upload that is not folded yet."""
    state = timeline.at(1)
    return upload_columns(timeline.key, state) if state and "asset" in state else None


def influencer_columns(influencer: Json, sequence: int) -> Row:
    return {
        "organization_id": influencer["organizationId"],
        "influencer_id": influencer["influencerId"],
        "project_id": influencer["projectId"],
        "status": influencer["status"],
        "sequence": sequence,
        "created_at": datetime.fromisoformat(influencer["createdAt"]),
        "state": influencer,
    }


def job_columns(job: Json) -> Row:
    return {
        "job_id": job["jobId"],
        "organization_id": job["organizationId"],
        "project_id": job["projectId"],
        "influencer_id": job["influencerId"],
        "stream_id": job.get("contentId", job["influencerId"]),
        "kind": job["kind"],
        "status": job["status"],
        "sequence": job["sequence"],
        "created_at": datetime.fromisoformat(job["createdAt"]),
        "state": job,
    }


def stream_columns(key: str, sequence: int, state: Json) -> Row:
    organization_id, _, stream_id = key.partition("/")
    return {
        "organization_id": organization_id,
        "stream_id": stream_id,
        "sequence": sequence,
        "state": state,
    }


def upload_columns(key: str, state: Json) -> Row:
    organization_id, _, asset_id = key.partition("/")
    return {
        "organization_id": organization_id,
        "asset_id": asset_id,
        "project_id": state["projectId"],
        "influencer_id": None,
        "created_at": datetime.fromisoformat(state["asset"]["createdAt"]),
        "state": state["asset"],
    }


def _evolved(key: str, state: StreamState, later: LaterEvent) -> StreamState:
    headers = [(name, value.encode()) for name, value in orjson.loads(later.headers)]
    event = decode(headers, later.value)
    if event.key != key:
        raise ImpossibleEvent(event.type, f"its key is {event.key}")
    return aggregate_of(event.subject).evolve(state, event)
