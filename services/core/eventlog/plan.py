"""What one append transaction will write, decided in memory from what it has locked. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from schemas.events import Event, EventData
from schemas.ids import IdentifierSource, Prefix
from services.core.clock import Clock, timestamp
from services.core.domain.aggregates import StreamState, aggregate_of
from services.core.domain.errors import CommandRefused
from services.core.domain.state import InfluencerStream, Job
from services.core.eventlog.requests import (
    Appended,
    AppendRequest,
    IdempotencyClaim,
    IdempotencyKeyReused,
    Outcome,
    Replayed,
    StoredResponse,
    TooManyJobs,
)


class JobsUncounted(Exception):
    """Another transaction is starting jobs of the organization: count again when it is done.

    Nothing of the command happened.
    """


class StreamKey(NamedTuple):
    organization_id: str
    stream_id: str


class ClaimKey(NamedTuple):
    organization_id: str
    scope: str
    key: str


class KeptResponse(NamedTuple):
    request_hash: bytes
    response: StoredResponse


def stream_key(request: AppendRequest) -> StreamKey:
    return StreamKey(request.command.organization_id, request.command.stream_id)


def claim_key(claim: IdempotencyClaim) -> ClaimKey:
    return ClaimKey(claim.organization_id, claim.scope, claim.key)


@dataclass(frozen=True, slots=True)
class ClaimToKeep:
    stream: StreamKey
    claim: IdempotencyClaim
    response: StoredResponse


@dataclass(slots=True)
class Plan:
    """The rows of one transaction, and the outcome of each of its requests.

    `running` is how many jobs the organizations that are held to a limit have running.
    `replaced_jobs` are jobs that another one followed, by their stream's key.
    """

    streams: dict[StreamKey, StreamState]
    kept: dict[ClaimKey, KeptResponse]
    running: dict[str, int] = field(default_factory=dict)
    found_at: dict[StreamKey, int] = field(default_factory=dict)
    changed: dict[StreamKey, None] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    replaced_jobs: list[tuple[str, Job]] = field(default_factory=list)
    claims: list[ClaimToKeep] = field(default_factory=list)
    outcomes: list[Outcome | Exception] = field(default_factory=list)


def plan_batch(
    requests: Iterable[AppendRequest],
    streams: Mapping[StreamKey, StreamState],
    kept: Mapping[ClaimKey, KeptResponse],
    clock: Clock,
    ids: IdentifierSource,
    running: Mapping[str, int] = MappingProxyType({}),
) -> Plan:
    """Decides `requests` in order, each on the state that the ones before it left."""
    plan = Plan(dict(streams), dict(kept), dict(running))
    for request in requests:
        plan.outcomes.append(_outcome(plan, request, clock, ids))
    return plan


def _outcome(
    plan: Plan, request: AppendRequest, clock: Clock, ids: IdentifierSource
) -> Outcome | Exception:
    replay = _replay(plan, request.idempotency)
    if replay is not None:
        return replay
    no_room = _no_room(plan, request)
    if no_room is not None:
        return no_room
    key = stream_key(request)
    aggregate = aggregate_of(key.stream_id)
    before = plan.streams.get(key, aggregate.initial_state)
    try:
        decided = aggregate.decide(before, request.command)
    except CommandRefused as refusal:
        return _refused(plan, request, before, refusal)
    events = _recorded(request, before, decided, clock, ids)
    after = before
    for event in events:
        after = aggregate.evolve(after, event)
    response = request.respond(after, events) if request.respond else None
    _remember(plan, key, before, after, events)
    _keep(plan, request, response)
    if request.jobs_at_most is not None and events:
        plan.running[key.organization_id] += 1
    return Appended(after, events, response)


def _no_room(plan: Plan, request: AppendRequest) -> TooManyJobs | JobsUncounted | None:
    if request.jobs_at_most is None:
        return None
    running = plan.running.get(request.command.organization_id)
    if running is None:
        return JobsUncounted()
    return TooManyJobs(request.jobs_at_most) if running >= request.jobs_at_most else None


def _refused(
    plan: Plan, request: AppendRequest, state: StreamState, refusal: CommandRefused
) -> Outcome | CommandRefused:
    response = request.respond_to_refusal(refusal) if request.respond_to_refusal else None
    if response is None:
        return refusal
    _keep(plan, request, response)
    return Appended(state, (), response)


def _replay(plan: Plan, claim: IdempotencyClaim | None) -> Replayed | IdempotencyKeyReused | None:
    kept = plan.kept.get(claim_key(claim)) if claim else None
    if claim is None or kept is None:
        return None
    if kept.request_hash != claim.request_hash:
        return IdempotencyKeyReused(claim)
    return Replayed(kept.response)


def _recorded(
    request: AppendRequest,
    state: StreamState,
    decided: tuple[EventData, ...],
    clock: Clock,
    ids: IdentifierSource,
) -> tuple[Event, ...]:
    now = max(timestamp(clock()), state.updated_at or "")
    project_id = _project_id(request, state)
    return tuple(
        Event(
            id=ids.new(Prefix.EVENT),
            source=request.source,
            subject=request.command.stream_id,
            time=now,
            sequence=state.sequence + position,
            organization_id=request.command.organization_id,
            project_id=project_id,
            correlation_id=getattr(data, "job_id", None) or request.request_id,
            causation_id=request.causation_id,
            traceparent=request.traceparent,
            data=data,
        )
        for position, data in enumerate(decided, start=1)
    )


def _project_id(request: AppendRequest, state: StreamState) -> str:
    project_id = state.project_id or getattr(request.command, "project_id", None)
    assert project_id is not None
    return project_id


def _remember(
    plan: Plan,
    key: StreamKey,
    before: StreamState,
    after: StreamState,
    events: tuple[Event, ...],
) -> None:
    if not events:
        return
    plan.found_at.setdefault(key, before.sequence)
    plan.streams[key] = after
    plan.changed[key] = None
    plan.events.extend(events)
    replaced = _replaced_job(before, after)
    if replaced:
        plan.replaced_jobs.append((events[0].key, replaced))


def _replaced_job(before: StreamState, after: StreamState) -> Job | None:
    """The job that another one follows: its row may be behind, and no later append touches it."""
    if not isinstance(before, InfluencerStream) or not isinstance(after, InfluencerStream):
        return None
    if before.job is None or after.job is None or before.job.job_id == after.job.job_id:
        return None
    return before.job


def _keep(plan: Plan, request: AppendRequest, response: StoredResponse | None) -> None:
    claim = request.idempotency
    if claim and response:
        plan.claims.append(ClaimToKeep(stream_key(request), claim, response))
        plan.kept[claim_key(claim)] = KeptResponse(claim.request_hash, response)
