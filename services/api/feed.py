"""`GET /v1/events`: what a client asks of its organization's feed, and reading it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import asyncpg
import orjson
from aiohttp import web

from schemas.ids import parse_plain_uuid
from services.api.calls import Call
from services.api.changes import Subject
from services.api.cloud_events import quarantined_event, recorded_event
from services.api.errors import Invalid, Unavailable
from services.api.feed_cursor import (
    BEGINNING,
    FeedPosition,
    NotAFeedCursor,
    Seen,
    mark_of,
)
from services.api.feed_query import TYPES, FeedFilter, check, find_end, read_feed
from services.api.open_stream import RESUME_HEADER, RESUME_PARAMETER
from services.api.pagination import page_limit
from services.core.readmodel.positions import Partition

LATEST: Literal["latest"] = "latest"

FOREIGN = "A cursor of another log: its events have other places in this one"

After: TypeAlias = FeedPosition | Literal["latest"] | None


@dataclass(frozen=True, slots=True)
class FeedRequest:
    wanted: FeedFilter
    limit: int
    after: After


class FeedEvent(NamedTuple):
    """`content` is the event as JSON; `partition` and `seen` say where it is on the log."""

    partition: Partition
    seen: Seen
    type: str
    content: bytes


class FeedPage(NamedTuple):
    """Events, and the position behind all that was looked at for them."""

    events: Sequence[FeedEvent]
    position: FeedPosition
    has_more: bool

    @property
    def sequence(self) -> int:
        """Grows with every event of the organization: what `Changes` knows its feed by."""
        return sum(seen.offset + 1 for seen in self.position.values())


def feed_of(call: Call) -> Subject:
    return Subject("feed", call.organization_id, "")


def requested(call: Call, *, resumable: bool) -> FeedRequest:
    """What the query asks for; a stream that is `resumable` goes on behind its last event.

    Raises Invalid with every fault of the query.
    """
    query, faults = call.request.query, dict[str, list[str]]()
    given = query.get(RESUME_PARAMETER)
    if resumable:
        given = call.request.headers.get(RESUME_HEADER) or given
    asked = FeedRequest(
        FeedFilter(_types(query.get("types"), faults), _project_id(call.request, faults)),
        page_limit(query.get("limit"), faults),
        _after(call, given, faults),
    )
    if faults:
        raise Invalid(fields=faults, message="Invalid query.")
    return asked


async def begun(call: Call, after: After) -> FeedPosition:
    """Where the feed goes on for a reader.

    Raises Invalid for a cursor of another log, Unavailable while the read models are not as far.
    """
    if after is None:
        return BEGINNING
    async with call.reading() as connection:
        if after == LATEST:
            return await find_end(connection, call.organization_id)
        match await check(connection, call.organization_id, after):
            case "ahead":
                raise Unavailable()
            case "foreign":
                raise Invalid(fields={RESUME_PARAMETER: [FOREIGN]}, message="Invalid query.")
    return after


async def read_page(call: Call, position: FeedPosition, wanted: FeedFilter, limit: int) -> FeedPage:
    """At most `limit` events behind `position`; fewer, or none, where few are `wanted`."""
    async with call.reading() as connection:
        found = await read_feed(connection, call.organization_id, position, wanted, limit)
    events = list(_events(call.organization_id, found.rows, wanted))
    return FeedPage(events, found.position, found.has_more)


def _events(
    organization_id: str, rows: Iterable[asyncpg.Record], wanted: FeedFilter
) -> Iterable[FeedEvent]:
    for row in rows:
        if row["headers"] is None:
            event = recorded_event(organization_id, row)
        else:
            parked = quarantined_event(organization_id, row)
            if parked is None or not _is_wanted(parked, wanted):
                continue
            event = parked
        yield FeedEvent(
            Partition(row["topic"], row["partition"]),
            Seen(row["record_offset"], mark_of(row["event_id"])),
            event["type"],
            orjson.dumps(event),
        )


def _is_wanted(event: dict[str, str], wanted: FeedFilter) -> bool:
    return (wanted.types is None or event["type"] in wanted.types) and (
        wanted.project_id is None or event["projectid"] == wanted.project_id
    )


def _after(call: Call, text: str | None, faults: dict[str, list[str]]) -> After:
    if text is None:
        return None
    if text == LATEST:
        return LATEST
    try:
        return call.api.feed_cursors.read(call.organization_id, text)
    except NotAFeedCursor:
        faults[RESUME_PARAMETER] = ["Not a cursor of this organization's events"]
        return None


def _types(text: str | None, faults: dict[str, list[str]]) -> tuple[str, ...] | None:
    if text is None:
        return None
    types = tuple(text.split(","))
    unknown = [name for name in types if name not in TYPES]
    if unknown:
        faults["types"] = [f"Must be some of {', '.join(TYPES)}, with commas between them"]
    return types


def _project_id(request: web.BaseRequest, faults: dict[str, list[str]]) -> str | None:
    text = request.query.get("projectId")
    try:
        return None if text is None else parse_plain_uuid(text)
    except ValueError as fault:
        faults["projectId"] = [str(fault)]
        return None
