"""What every handler gets: the parts of the api, and the call it answers."""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from types import MappingProxyType

from aiohttp import web

from schemas.ids import (
    IdentifierSource,
    InvalidIdentifier,
    Prefix,
    parse_identifier,
    parse_plain_uuid,
)
from services.api.answers import answer
from services.api.authentication import ApiKeys
from services.api.bodies import Body, read_body
from services.api.changes import Changes, Stopping
from services.api.connections import while_connected
from services.api.errors import Invalid, NotFound, Unavailable
from services.api.feed_cursor import FeedCursors
from services.api.idempotency import claim_of
from services.api.jobs_at_once import JobsAtOnce
from services.api.load_limit import LoadLimits, Seat
from services.api.pacing import Pacing
from services.api.pagination import Paginator
from services.api.rate_limits import RateLimits
from services.api.readers import Readers
from services.api.records import MediaUrls
from services.api.revocations import Revocations
from services.core.clock import Clock
from services.core.controlplane import ApiKey, find_project
from services.core.domain.aggregates import AnyCommand
from services.core.eventlog.group_commit import GroupCommit
from services.core.eventlog.outbox_bound import OutboxBound
from services.core.eventlog.requests import (
    AppendRequest,
    IdempotencyClaim,
    Outcome,
    Replayed,
    Respond,
    RespondToRefusal,
)
from services.core.postgres import Connection, Pool
from services.core.storage.inspector import ImageInspector
from services.core.storage.store import ObjectStore
from services.core.turns import Turns

SOURCE = "/services/api"
OUTBOX_FULL_RETRY_AFTER = 5
PREFIXES = MappingProxyType(
    {"influencerId": Prefix.INFLUENCER, "jobId": Prefix.JOB, "assetId": Prefix.ASSET}
)
_UNREAD = Body(None, b"")
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class Api:
    """The parts that the composition root puts together."""

    pool: Pool
    readers: Readers
    group_commit: GroupCommit
    keys: ApiKeys
    revocations: Revocations
    load: LoadLimits
    pacing: Pacing
    clock: Clock
    ids: IdentifierSource
    urls: MediaUrls
    media_signing_key: bytes
    paginator: Paginator
    feed_cursors: FeedCursors
    store: ObjectStore
    changes: Changes
    rate_limits: RateLimits
    jobs_at_once: JobsAtOnce
    outbox_bound: OutboxBound
    inspector: ImageInspector = field(default_factory=ImageInspector)
    transfers: Turns = field(default_factory=lambda: Turns(2))
    """Large uploads that are whole in memory at once."""
    inspections: Turns = field(default_factory=lambda: Turns(2))
    """As many as the inspector has processes: its own wait knows no organizations."""
    feed_streams: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1_000))
    """Streams of the organizations' feeds that are open at once."""
    recording: Turns = field(default_factory=lambda: Turns(1))
    """Held with the lock of a content in Postgres: few connections wait there, never all."""
    body_timeout: float = 10.0
    hold_timeout: float = 5.0
    known_projects: set[tuple[str, str]] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated request. `starts_job` needs room for one more.

    It has its `seat` while it is worked on, and not while something is waited for.
    """

    api: Api
    request: web.Request
    request_id: str
    key: ApiKey
    seat: Seat
    starts_job: bool = False

    @property
    def organization_id(self) -> str:
        return self.key.organization_id

    def reading(self) -> AbstractAsyncContextManager[Connection]:
        """A connection that sees what this organization may. Raises DependencyUnavailable."""
        return self.api.readers.of(self.organization_id)

    def identifier(self, name: str, prefix: Prefix) -> str:
        """An id from the path, canonical. Raises NotFound for what is none."""
        try:
            return parse_identifier(prefix, self.request.match_info[name])
        except InvalidIdentifier:
            raise NotFound() from None

    def canonical_path(self) -> str:
        """The request's path with its ids as we write them. Raises NotFound for what is none."""
        resource = self.request.match_info.route.resource
        assert resource is not None
        names = self.request.match_info
        return resource.canonical.format_map({name: self._canonical(name) for name in names})

    def _canonical(self, name: str) -> str:
        if name != "projectId":
            return self.identifier(name, PREFIXES[name])
        try:
            return parse_plain_uuid(self.request.match_info[name])
        except ValueError:
            raise NotFound() from None

    async def project_id(self) -> str:
        """The path's project. Raises NotFound when it isn't one of this organization."""
        project_id = self._canonical("projectId")
        await self._require_project(project_id)
        return project_id

    async def _require_project(self, project_id: str) -> None:
        known = (self.organization_id, project_id)
        if known in self.api.known_projects:
            return
        async with self.reading() as connection:
            if await find_project(connection, *known) is None:
                raise NotFound()
        self.api.known_projects.add(known)

    async def body(self, *, required: bool = True) -> Body:
        """The request's JSON, as `read_body` has it. Raises Overloaded when it came late."""
        if self.request.content.is_eof():
            return await read_body(self.request, self.api.body_timeout, required=required)
        async with self.seat.left():
            return await read_body(self.request, self.api.body_timeout, required=required)

    @asynccontextmanager
    async def waiting(self, seconds: float) -> AsyncIterator[None]:
        """Ends the block, without the seat, after `seconds`, or when the client leaves, its key is
        revoked or this process stops.

        Raises Unauthenticated behind it when the key has been revoked, DependencyUnavailable.
        """
        self.seat.leave()
        with suppress(TimeoutError, Stopping):
            async with while_connected(self.request, seconds) as wait:
                with self.api.revocations.ending(self.key.key_id, wait):
                    yield
        await self.require_key()

    async def require_key(self) -> None:
        """Raises Unauthenticated when the key has been revoked since, DependencyUnavailable."""
        await self.api.keys.authenticate(self.request)

    async def append(
        self,
        command: AnyCommand,
        path: str,
        body: Body,
        respond: Respond,
        respond_to_refusal: RespondToRefusal | None = None,
        *,
        is_fresh: bool = False,
    ) -> web.Response:
        """Appends and answers; `path` is the request's with canonical ids, for idempotency.

        Raises Unavailable while too many events wait for Kafka, and what the append raises.
        """
        if self.api.outbox_bound.is_full:
            raise Unavailable(OUTBOX_FULL_RETRY_AFTER)
        claim = claim_of(self.request, self.organization_id, path, body)
        wanted = AppendRequest(
            command=command,
            source=SOURCE,
            request_id=self.request_id,
            causation_id=self.request_id,
            traceparent=traceparent_of(self.request.headers),
            idempotency=claim,
            respond=respond,
            respond_to_refusal=respond_to_refusal,
            is_fresh=is_fresh,
            jobs_at_most=self.api.jobs_at_once.at_most(self.key) if self.starts_job else None,
        )
        return answer_of(await self.api.group_commit.append(wanted))

    async def require_room(self) -> None:
        """Raises TooManyJobs for what starts a job when the organization may have no more."""
        if self.starts_job:
            await self.api.jobs_at_once.require_room(self.key, self._claim_before_body)

    def _claim_before_body(self) -> IdempotencyClaim | None:
        try:
            return claim_of(self.request, self.organization_id, self.canonical_path(), _UNREAD)
        except (NotFound, Invalid):
            return None


def answer_of(outcome: Outcome) -> web.Response:
    response = outcome.response
    assert response is not None
    headers = dict(response.headers)
    if isinstance(outcome, Replayed):
        headers["Idempotent-Replayed"] = "true"
    return answer(response.body, response.status, headers)


def traceparent_of(headers: Mapping[str, str]) -> str:
    """The caller's W3C trace context, or a new one (https://www.w3.org/TR/trace-context/)."""
    given = headers.get("traceparent", "")
    if _TRACEPARENT.fullmatch(given):
        return given
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
