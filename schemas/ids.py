"""Ids: 128 bits, on the wire a prefix and 26 characters of Crockford base32.

Three spellings of the same bits are read, in any letter case: prefixed, bare ULID and UUID
(https://github.com/ulid/spec, RFC 9562). One is written: prefixed, upper case.
"""

import os
import re
import time
from enum import StrEnum
from functools import partial
from typing import Annotated, Protocol
from uuid import UUID

from pydantic import AfterValidator, StringConstraints, WithJsonSchema
from ulid import ULID

_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class Prefix(StrEnum):
    INFLUENCER = "inf"
    JOB = "job"
    ASSET = "ast"
    CONTENT = "cnt"
    UPLOAD = "upl"
    REQUEST = "req"
    EVENT = "evt"
    KEY = "key"


class InvalidIdentifier(ValueError):
    """The text is none of the three spellings of an id with this prefix."""

    def __init__(self, prefix: Prefix, text: str) -> None:
        super().__init__(f"Not an id: expected {prefix}_ and a ULID, a bare ULID, or a UUID")
        self.prefix = prefix
        self.text = text


def parse_identifier(prefix: Prefix, text: str) -> str:
    """The canonical spelling of `text`, e.g. `inf_01HXZ9G7KMV2QX8Y1S5RJW3B7T`.

    Raises InvalidIdentifier.
    """
    if not text.isascii():  # or `ſ`.upper() would be read as S
        raise InvalidIdentifier(prefix, text)
    if _UUID.fullmatch(text):
        return f"{prefix}_{ULID.from_uuid(UUID(text))}"
    upper = text.upper()
    bare = upper.removeprefix(f"{prefix.upper()}_")
    if _ULID.fullmatch(bare):
        return f"{prefix}_{bare}"
    raise InvalidIdentifier(prefix, text)


def parse_plain_uuid(text: str) -> str:
    """The canonical spelling of an organization or project id: a lower-case UUID.

    Raises ValueError.
    """
    if not _UUID.fullmatch(text):
        raise ValueError("Not a UUID")
    return text.lower()


def identifier_pattern(prefix: str) -> str:
    """Of an id as it is written, as JSON Schema has patterns; `prefix` may be a pattern itself."""
    return f"^{prefix}_[0-7][0-9A-HJKMNP-TV-Z]{{25}}$"


def _written(prefix: Prefix) -> StringConstraints:
    """Checked without a call into Python: an event has up to five ids."""
    return StringConstraints(pattern=identifier_pattern(prefix))


def _any_spelling(prefix: Prefix) -> AfterValidator:
    return AfterValidator(partial(parse_identifier, prefix))


def any_spelling_pattern(prefix: Prefix) -> str:
    """What `parse_identifier` takes, as JSON Schema has patterns."""
    letters = "".join(f"[{letter.upper()}{letter}]" for letter in prefix)
    ulid = "[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}"
    uuid = "[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
    return f"^(({letters}_)?{ulid}|{uuid})$"


def _documented(prefix: Prefix) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": any_spelling_pattern(prefix)})


# In events: as they are written.
InfluencerId = Annotated[str, _written(Prefix.INFLUENCER)]
JobId = Annotated[str, _written(Prefix.JOB)]
AssetId = Annotated[str, _written(Prefix.ASSET)]
EventId = Annotated[str, _written(Prefix.EVENT)]
UploadId = Annotated[str, _written(Prefix.UPLOAD)]
RequestId = Annotated[str, _written(Prefix.REQUEST)]

# In requests.
AnyInfluencerId = Annotated[str, _any_spelling(Prefix.INFLUENCER), _documented(Prefix.INFLUENCER)]
AnyAssetId = Annotated[str, _any_spelling(Prefix.ASSET), _documented(Prefix.ASSET)]
AnyUploadId = Annotated[str, _any_spelling(Prefix.UPLOAD), _documented(Prefix.UPLOAD)]
PlainUuid = Annotated[
    str, AfterValidator(parse_plain_uuid), WithJsonSchema({"type": "string", "format": "uuid"})
]


class IdentifierSource(Protocol):
    """Where new ids come from; passed in, so that tests can say what they are."""

    def new(self, prefix: Prefix) -> str: ...


class UlidSource:
    """Time-ordered ids (ULID): 48 bits of milliseconds, 80 bits from the system's randomness.

    Randomness is drawn for many ids at once: several are made for every request.
    """

    def __init__(self) -> None:
        self._random = b""
        self._used = 0

    def new(self, prefix: Prefix) -> str:
        milliseconds = time.time_ns() // 1_000_000
        return f"{prefix}_{_encode(milliseconds << 80 | int.from_bytes(self._draw()))}"

    def _draw(self) -> bytes:
        if self._used == len(self._random):
            self._random, self._used = os.urandom(_RANDOM_BYTES * _DRAWN_AT_ONCE), 0
        start = self._used
        self._used += _RANDOM_BYTES
        return self._random[start : self._used]


_RANDOM_BYTES = 10
_DRAWN_AT_ONCE = 200
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
_SHIFTS = tuple(range(120, -1, -10))


def _encode(number: int) -> str:
    """Two characters at a time."""
    return "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])
