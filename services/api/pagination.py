"""Keyset pages: newest first, `limit` and an opaque, signed `cursor` bound to its filter."""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, TypeVar

import orjson
from aiohttp import web

from services.api.errors import FieldErrors, Invalid

DEFAULT_LIMIT = 25
MAXIMUM_LIMIT = 100
NO_FAULTS: FieldErrors = MappingProxyType({})
SIGNATURE_BYTES = 16

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page ended: the creation time and id of its last row."""

    created_at: datetime
    identifier: str


BEFORE_ALL = Position(datetime(9999, 12, 31, tzinfo=UTC), "")
"""Where the first page begins, newest first."""


@dataclass(frozen=True, slots=True)
class PageRequest:
    limit: int
    after: Position | None


@dataclass(frozen=True, slots=True)
class Paginator:
    """Signs and checks cursors; `secret` is ours alone."""

    secret: bytes

    def requested(
        self, request: web.BaseRequest, list_filter: str, filter_faults: FieldErrors = NO_FAULTS
    ) -> PageRequest:
        """The page that the query asks for.

        Raises Invalid with every fault of the query, `filter_faults` among them.
        """
        faults = dict(filter_faults)
        limit = page_limit(request.query.get("limit"), faults)
        after = self._position(request.query.get("cursor"), list_filter, faults)
        if faults:
            raise Invalid(fields=faults, message="Invalid query.")
        return PageRequest(limit, after)

    def page(
        self,
        rows: Sequence[Row],
        asked: PageRequest,
        list_filter: str,
        item: Callable[[Row], Any],
        position: Callable[[Row], Position],
    ) -> dict[str, Any]:
        """The answer for `rows`, of which there is one more than asked for if there is a next."""
        shown = rows[: asked.limit]
        more = len(rows) > asked.limit
        return {
            "items": [item(row) for row in shown],
            "nextCursor": self._cursor(position(shown[-1]), list_filter) if more else None,
        }

    def _cursor(self, position: Position, list_filter: str) -> str:
        content = orjson.dumps([position.created_at.isoformat(), position.identifier])
        return as_text(self._signature(content, list_filter) + content)

    def _position(
        self, cursor: str | None, list_filter: str, faults: dict[str, list[str]]
    ) -> Position | None:
        if cursor is None:
            return None
        decoded = as_bytes(cursor)
        signature, content = decoded[:SIGNATURE_BYTES], decoded[SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._signature(content, list_filter)):
            faults["cursor"] = ["Not a cursor of this list and filter"]
            return None
        created_at, identifier = orjson.loads(content)
        return Position(datetime.fromisoformat(created_at), identifier)

    def _signature(self, content: bytes, list_filter: str) -> bytes:
        message = list_filter.encode() + b"\x00" + content
        return hmac.digest(self.secret, message, "sha256")[:SIGNATURE_BYTES]


def as_text(content: bytes) -> str:
    """`content` as it may stand in a URL."""
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def as_bytes(text: str) -> bytes:
    """What `text` spells; nothing when it is not the one spelling that `as_text` writes."""
    try:
        content = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except ValueError:
        return b""
    return content if as_text(content) == text else b""


def page_limit(text: str | None, faults: dict[str, list[str]]) -> int:
    """How many items a page may have; adds to `faults` what is no such number."""
    if text is None:
        return DEFAULT_LIMIT
    if text.isascii() and text.isdigit() and len(text) < 4 and 1 <= int(text) <= MAXIMUM_LIMIT:
        return int(text)
    faults["limit"] = [f"Must be a whole number from 1 to {MAXIMUM_LIMIT}"]
    return DEFAULT_LIMIT
