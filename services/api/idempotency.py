"""The `Idempotency-Key` header (draft-ietf-httpapi-idempotency-key-header)."""

import re

from aiohttp import web

from services.api.bodies import Body
from services.api.errors import Invalid
from services.core.eventlog.requests import IdempotencyClaim

HEADER = "Idempotency-Key"
_VISIBLE = re.compile(r"[\x21-\x7e]{1,255}")
_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')


def claim_of(
    request: web.BaseRequest, organization_id: str, path: str, body: Body
) -> IdempotencyClaim | None:
    """The claim that a request makes; None without the header. Raises Invalid.

    `path` has its ids in their canonical spelling.
    """
    values = request.headers.getall(HEADER, [])
    if not values:
        return None
    key = _unquoted(values[0])
    if len(values) > 1 or not _VISIBLE.fullmatch(key):
        raise Invalid(
            fields={HEADER: ["Must be 1 to 255 visible ASCII characters"]},
            message="Invalid header.",
        )
    return IdempotencyClaim(organization_id, f"{request.method} {path}", key, body.digest)


def _unquoted(value: str) -> str:
    """What is between the quotes of a string as RFC 8941 has it; anything else as it is."""
    quoted = _QUOTED.fullmatch(value.strip())
    if quoted is None:
        return value
    return re.sub(r"\\(.)", r"\1", quoted[1])
