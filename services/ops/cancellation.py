"""Canceling a job the one way there is: through the append, in the operator's name."""

import secrets
from dataclasses import dataclass

import asyncpg

from schemas.ids import IdentifierSource, Prefix, UlidSource
from services.core.clock import system_clock
from services.core.domain.aggregates import AnyCommand, StreamState, aggregate_of
from services.core.domain.commands import CancelJob
from services.core.domain.content import CancelContent
from services.core.domain.errors import CommandRefused
from services.core.errors import DependencyUnavailable
from services.core.eventlog.append import FIND_STREAM, Raced, append_batch
from services.core.eventlog.requests import AppendRequest
from services.core.notifications import OUTBOX_CHANNEL, READ_MODEL_CHANNEL
from services.core.postgres import Connection
from services.ops.streams import StreamAddress, find_stream_of_job_on

SOURCE = "/services/api"
"""The contract has JobCanceled from the api; `requestedBy` says that it was an operator."""
REQUESTED_BY = "influencerctl"
ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class Cancellation:
    """`refusal` says why the job was not, or would not be, canceled."""

    job_id: str
    refusal: str | None = None


async def cancel_job(
    connection: Connection, job_id: str, *, dry_run: bool, ids: IdentifierSource | None = None
) -> Cancellation:
    """Cancels, or only says whether it could. Raises DependencyUnavailable."""
    address = await find_stream_of_job_on(connection, job_id)
    if address is None:
        return Cancellation(job_id, "there is no such job")
    command = _command(address, job_id)
    try:
        if dry_run:
            await _decide(connection, command)
        else:
            await _append(connection, command, ids or UlidSource())
    except CommandRefused as refusal:
        return Cancellation(job_id, str(refusal))
    return Cancellation(job_id)


def _command(address: StreamAddress, job_id: str) -> AnyCommand:
    stream = address.organization_id, address.stream_id, job_id
    if address.stream_id.startswith(f"{Prefix.CONTENT}_"):
        return CancelContent(*stream, REQUESTED_BY)
    return CancelJob(*stream, REQUESTED_BY)


async def _decide(connection: Connection, command: AnyCommand) -> None:
    """Raises CommandRefused."""
    aggregate = aggregate_of(command.stream_id)
    found = await connection.fetchval(FIND_STREAM, command.organization_id, command.stream_id)
    state: StreamState = aggregate.initial_state
    if found:
        state = aggregate.state_type.model_validate_json(found)
    aggregate.decide(state, command)


async def _append(connection: Connection, command: AnyCommand, ids: IdentifierSource) -> None:
    """Raises CommandRefused."""
    request = _request(command, ids)
    for _ in range(ATTEMPTS):
        try:
            outcome, *_ = await append_batch(
                connection, [request], clock=system_clock, ids=ids, write_read_models=True
            )
        except (Raced, asyncpg.UniqueViolationError):
            continue
        if not isinstance(outcome, Exception):
            for channel in (OUTBOX_CHANNEL, READ_MODEL_CHANNEL):
                await connection.execute("select pg_notify($1, '')", channel)
            return
        if not isinstance(outcome, Raced):
            raise outcome
    raise DependencyUnavailable("event log", f"{command.stream_id} changes too often")


def _request(command: AnyCommand, ids: IdentifierSource) -> AppendRequest:
    request_id = ids.new(Prefix.REQUEST)
    return AppendRequest(
        command=command,
        source=SOURCE,
        request_id=request_id,
        causation_id=request_id,
        traceparent=f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01",
    )
