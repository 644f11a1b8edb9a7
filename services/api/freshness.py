"""`?minSequence=N`: a read that waits until the record has caught up with what the caller knows."""

from collections.abc import Awaitable, Callable

from services.api.calls import Call
from services.api.changes import Record, Subject
from services.api.errors import Invalid, Unavailable
from services.api.queries import find_position

PARAMETER = "minSequence"


async def reached(
    call: Call, find: Callable[[], Awaitable[Record]], stream: Callable[[Record], Subject]
) -> Record:
    """What `find` gives, once the stream it belongs to is as far as the query asks.

    Raises what `find` raises, Invalid, Unauthenticated, and Unavailable when it takes too long.
    """
    record = await find()
    text = call.request.query.get(PARAMETER)
    if text is None:
        return record
    wanted = _minimum(text)
    if record.sequence >= wanted:
        return record
    subject, is_reached = stream(record), False
    async with call.waiting(call.api.hold_timeout):
        await call.api.changes.beyond(subject, wanted - 1)
        is_reached = True
    if not is_reached:
        await _require(call, subject, wanted)
    return await find()


async def _require(call: Call, stream: Subject, wanted: int) -> None:
    async with call.reading() as connection:
        position = await find_position(connection, *stream)
    if position < wanted:
        raise Unavailable(details={"sequence": position})


def _minimum(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 19:
        return int(text)
    raise Invalid(fields={PARAMETER: ["Must be a whole number"]}, message="Invalid query.")
