"""`Prefer: wait=N` (RFC 7240): a read that is held until there is something to tell."""

import re
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from aiohttp import web

from services.api.answers import is_current
from services.api.calls import Call
from services.api.changes import Heard, Record, Subject

MAXIMUM_WAIT = 60
_WAIT = re.compile(r'\s*wait\s*=\s*"?([0-9]{1,9})"?\s*(?:;.*)?', re.IGNORECASE)


class Patience(NamedTuple):
    """What a read waits for. `etag` and `is_settled` are of a record as it was found.

    With `If-None-Match` it waits for a record of another `etag`, without for one that
    `is_settled`.
    """

    subject: Subject
    etag: str
    is_settled: bool


async def held(
    call: Call,
    record: Record,
    heard: Heard,
    find: Callable[[], Awaitable[Record]],
    patience: Callable[[Record], Patience],
) -> Record:
    """`record`, or what it has become when the client prefers to wait.

    `heard` is what the changes had heard before `record` was found. Raises what `find` raises, and
    Unauthenticated when the key has been revoked meanwhile.
    """
    seconds = preferred_wait(call.request)
    if seconds is None:
        return record
    knows_one = "If-None-Match" in call.request.headers

    def is_over(found: Record) -> bool:
        wanted = patience(found)
        return not is_current(call.request, wanted.etag) if knows_one else wanted.is_settled

    if is_over(record):
        return record
    changed = None
    async with call.waiting(seconds):
        subject = patience(record).subject
        changed = await call.api.changes.until(record, heard, subject, find, is_over)
    return changed or await find()


def acknowledge(request: web.BaseRequest, response: web.Response) -> web.Response:
    """`response`, saying that the preference was honoured."""
    seconds = preferred_wait(request)
    if seconds is not None:
        response.headers["Preference-Applied"] = f"wait={seconds}"
    return response


def preferred_wait(request: web.BaseRequest) -> int | None:
    """Seconds to wait; None without the preference, or with one that we ignore."""
    for header in request.headers.getall("Prefer", ()):
        for preference in header.split(","):
            wanted = _WAIT.fullmatch(preference)
            if wanted is not None:  # the first one counts
                seconds = int(wanted[1])
                return seconds if 1 <= seconds <= MAXIMUM_WAIT else None
    return None
