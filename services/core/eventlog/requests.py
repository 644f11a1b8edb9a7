"""What goes into an append and what comes out of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.events import Event
from services.core.domain.aggregates import AnyCommand, StreamState
from services.core.domain.errors import CommandRefused


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """An HTTP answer as it is kept for an idempotency key, byte for byte."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class IdempotencyClaim:
    """`scope` is method and path; `request_hash` the SHA-256 of the canonical body (32 bytes)."""

    organization_id: str
    scope: str
    key: str
    request_hash: bytes


Respond = Callable[[Any, tuple[Event, ...]], StoredResponse]
"""From the stream's new state, of the command's aggregate, and the events."""
RespondToRefusal = Callable[[CommandRefused], StoredResponse | None]


@dataclass(frozen=True, slots=True)
class AppendRequest:
    """A command, who asks and why.

    `is_fresh`: the command makes a stream whose id was drawn for it, so nobody else can know it.
    `jobs_at_most` is how many jobs the organization may have running, the one that the command
    starts included; None: any number.
    `respond` makes the answer that an idempotency key keeps; `respond_to_refusal` may turn a
    refusal into an answer to keep as well.
    """

    command: AnyCommand
    source: str
    request_id: str
    causation_id: str
    traceparent: str
    idempotency: IdempotencyClaim | None = None
    respond: Respond | None = None
    respond_to_refusal: RespondToRefusal | None = None
    is_fresh: bool = False
    jobs_at_most: int | None = None


@dataclass(frozen=True, slots=True)
class Appended:
    """`events` is empty when the command changed nothing."""

    state: StreamState
    events: tuple[Event, ...]
    response: StoredResponse | None


@dataclass(frozen=True, slots=True)
class Replayed:
    """The idempotency key was used for this very request before: that answer again."""

    response: StoredResponse


Outcome = Appended | Replayed


class IdempotencyKeyReused(Exception):
    """The key was used for a different request."""

    def __init__(self, claim: IdempotencyClaim) -> None:
        super().__init__(f"idempotency key {claim.key!r} was used for a different request")
        self.claim = claim


class TooManyJobs(Exception):
    """The organization has as many jobs running as it may."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} jobs are running")
        self.limit = limit


class IdempotencyKeyBusy(Exception):
    """The first request with this key has been running for too long to wait on."""

    def __init__(self, claim: IdempotencyClaim) -> None:
        super().__init__(f"idempotency key {claim.key!r} is in use")
        self.claim = claim


class AppendQueueFull(Exception):
    """More commands wait than may: the caller should come back later."""

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} commands are waiting")
        self.waiting = waiting
