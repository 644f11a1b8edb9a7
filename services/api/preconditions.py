"""`If-Match`: a write happens only on the record that the caller knows (RFC 9110, 13.1.1)."""

import re

from aiohttp import web

_TAG = re.compile(r'"([1-9][0-9]{0,17})"')
_NEVER = 0
"""No record that exists is at this sequence."""


def expected_sequence(request: web.BaseRequest, current: int) -> int | None:
    """The sequence that the record must be at; None when any will do.

    Whether it is, the write itself tells: after a replay had its chance, under the stream's lock.
    Of several tags that of `current` counts, the record as it was read, else the newest: reads
    may be behind, never ahead.
    """
    values = request.headers.getall("If-Match", [])
    tags = {tag.strip() for value in values for tag in value.split(",")}
    if not values or "*" in tags:
        return None
    sequences = {int(match[1]) for tag in tags if (match := _TAG.fullmatch(tag))}
    return current if current in sequences else max(sequences, default=_NEVER)
