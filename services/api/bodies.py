"""Request bodies: read within bounds, parsed strictly, every fault told at once."""

import asyncio
import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from math import isfinite
from types import MappingProxyType
from typing import Any, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from schemas.ids import InvalidIdentifier, Prefix, parse_identifier
from services.api.errors import (
    BadHttp,
    FieldErrors,
    Invalid,
    PayloadTooLarge,
    UnknownReference,
    UnsupportedMediaType,
)

MAXIMUM_BODY = 1024 * 1024
MOST_NAMED = 20
"""Ids of one list that are looked up: as many as any body may have."""
NO_FAULTS: FieldErrors = MappingProxyType({})

_MESSAGES = MappingProxyType(
    {
        "missing": "Required",
        "extra_forbidden": "Unknown field",
        "string_too_long": "At most {max_length} characters",
        "string_too_short": "Must not be empty",
        "too_long": "At most {max_length} items",
        "too_short": "At least {min_length} items",
        "string_type": "Must be a string",
        "string_unicode": "Must be a string",
        "list_type": "Must be a list",
        "model_type": "Must be an object",
        "model_attributes_type": "Must be an object",
        "dict_type": "Must be an object",
        "literal_error": "Must be one of {expected}",
        "value_error": "{error}",
    }
)

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Body:
    """`content` is the parsed JSON, `digest` the SHA-256 of its canonical form (32 bytes)."""

    content: Any
    digest: bytes

    def marked(self, purpose: str) -> "Body":
        """The same, but another request than without `purpose`, which the query tells."""
        return replace(self, digest=hashlib.sha256(purpose.encode() + self.digest).digest())

    def named(self, field: str, prefix: Prefix) -> dict[str, str]:
        """The canonical ids in `field`, a dotted path, by the paths that they have themselves.

        Whatever else is wrong with the body; none of a list of more than `MOST_NAMED`.
        """
        found = self.content
        for name in field.split("."):
            found = found.get(name) if isinstance(found, dict) else None
        if not isinstance(found, list):
            return _identifiers({field: found}, prefix)
        if len(found) > MOST_NAMED:
            return {}
        named = {f"{field}.{place}": value for place, value in enumerate(found)}
        return _identifiers(named, prefix)

    def as_model(self, model: type[M], unknown: FieldErrors = NO_FAULTS) -> M:
        """Raises Invalid, with every fault of the body; UnknownReference for `unknown` alone.

        `unknown` are faults of ids that are fine in form but name nothing.
        """
        if not isinstance(self.content, dict):
            raise Invalid(form=["Must be a JSON object"])
        try:
            found = model.model_validate(self.content)
        except ValidationError as faults:
            raise _invalid(faults, unknown) from None
        if unknown:
            raise UnknownReference(fields=dict(unknown))
        return found


async def read_body(request: web.Request, within: float, *, required: bool = True) -> Body:
    """The JSON of the request; an empty object when there is none and none is `required`.

    All of it must be here `within` seconds. Raises PayloadTooLarge, UnsupportedMediaType,
    Invalid, BadHttp.
    """
    raw = await _read(request, within)
    if not raw and not required:
        return parse_body(b"{}")
    _require_json(request)
    return parse_body(raw)


def parse_body(raw: bytes) -> Body:
    """Raises Invalid for what is not JSON, or is JSON that not everybody would read the same."""
    content = _parsed(raw)
    try:
        canonical = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as fault:  # lone surrogates, or hundreds of nested brackets
        raise Invalid(form=[f"Invalid JSON: {fault}"]) from None
    return Body(content, hashlib.sha256(canonical).digest())


async def _read(request: web.Request, within: float) -> bytes:
    if (request.content_length or 0) > MAXIMUM_BODY:
        raise PayloadTooLarge(MAXIMUM_BODY)
    try:
        async with asyncio.timeout(within):
            return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise PayloadTooLarge(MAXIMUM_BODY) from None
    except web.RequestPayloadError:
        raise BadHttp() from None
    except (TimeoutError, ConnectionError):
        raise Invalid(form=["The body did not arrive in time"]) from None


def _require_json(request: web.Request) -> None:
    kind = request.content_type if "Content-Type" in request.headers else ""
    if kind != "application/json" and not kind.endswith("+json"):
        raise UnsupportedMediaType()


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_unique_keys,
            parse_constant=_no_constant,
            parse_int=_bounded_integer,
            parse_float=_bounded_number,
        )
    except UnicodeDecodeError:
        raise Invalid(form=["Invalid UTF-8"]) from None
    except RecursionError:
        raise Invalid(form=["Invalid JSON: nested too deeply"]) from None
    except json.JSONDecodeError as fault:
        raise Invalid(form=[f"Invalid JSON: {fault.msg} at character {fault.pos}"]) from None
    except ValueError as fault:
        raise Invalid(form=[f"Invalid JSON: {fault}"]) from None


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a key is there twice")
    return content


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def _bounded_integer(text: str) -> int:
    if len(text) > len(str(-(2**63))) or not -(2**63) <= int(text) < 2**63:
        raise ValueError("an integer is out of range")
    return int(text)


def _bounded_number(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError("a number is out of range")
    return number


def _identifiers(values: Mapping[str, Any], prefix: Prefix) -> dict[str, str]:
    found = {}
    for path, value in values.items():
        with suppress(InvalidIdentifier):
            if isinstance(value, str):
                found[path] = parse_identifier(prefix, value)
    return found


def _invalid(faults: ValidationError, unknown: FieldErrors) -> Invalid:
    """A fault without a place is one of the whole body."""
    errors = {path: list(messages) for path, messages in unknown.items()}
    for fault in faults.errors(include_url=False, include_input=False):
        path = ".".join(str(part) for part in fault["loc"])
        errors.setdefault(path, []).append(_message(fault))
    return Invalid(form=errors.pop("", None), fields=errors)


def _message(fault: ErrorDetails) -> str:
    template = _MESSAGES.get(fault["type"])
    return template.format_map(fault.get("ctx", {})) if template else fault["msg"]
