"""Holds an answer to the OpenAPI document: its status, its headers, and its body.

The document leaves objects open to fields of the future; here a field that it does not name is
a fault.
"""

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from services.api.openapi.pages import DOCUMENT

# What the document says nothing of: itself, and paths of media that no store writes.
UNDESCRIBED = re.compile(r"/(docs(/.*)?|openapi\.json)")


def _closed(value: Any) -> Any:
    if isinstance(value, list):
        return [_closed(item) for item in value]
    if not isinstance(value, dict):
        return value
    closed = {key: _closed(item) for key, item in value.items()}
    if isinstance(value.get("properties"), dict) and value.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    return closed


_DOCUMENT = json.loads(DOCUMENT.read_text(encoding="utf-8"))
_COMPONENTS = {**_DOCUMENT["components"], "schemas": _closed(_DOCUMENT["components"]["schemas"])}
_PATHS = [
    (re.compile(re.sub(r"{\w+}", "[^/]+", path)), path, len(re.findall("{", path)))
    for path in _DOCUMENT["paths"]
]


def require_described(
    method: str, path: str, status: int, headers: Mapping[str, str], body: bytes
) -> None:
    """Raises AssertionError, ValidationError. A path or method that nobody described must fail."""
    path = path.partition("?")[0]
    if UNDESCRIBED.fullmatch(path):
        return
    operation = _operation(method, path)
    if operation is None:
        assert status in (400, 401, 404, 405, 429), (method, path, status)
        return
    assert str(status) in operation["responses"], f"{method} {path} says nothing of {status}"
    response = _resolved(operation["responses"][str(status)])
    _require_headers(response, headers)
    if method != "HEAD":
        _require_body(response, headers.get("Content-Type", ""), body)


def _operation(method: str, path: str) -> dict[str, Any] | None:
    matching = [(count, name) for pattern, name, count in _PATHS if pattern.fullmatch(path)]
    if not matching:
        return None
    described = _DOCUMENT["paths"][min(matching)[1]]
    name = "get" if method == "HEAD" else method.lower()
    found: dict[str, Any] | None = described.get(name)
    return found


def _require_headers(response: Mapping[str, Any], headers: Mapping[str, str]) -> None:
    for name, reference in response.get("headers", {}).items():
        described = _resolved(reference)
        if name in headers:
            _validator(json.dumps(described["schema"])).validate(
                _read(headers[name], described["schema"])
            )
        else:
            assert not described.get("required"), f"{name} is missing"


def _require_body(response: Mapping[str, Any], content_type: str, body: bytes) -> None:
    described = response.get("content", {})
    if not described:
        assert not body
        return
    kind = content_type.partition(";")[0]
    assert kind in described, f"{content_type} is not described"
    if "contentMediaType" in described[kind]["schema"]:
        return
    value = json.loads(body) if kind.endswith("json") else body.decode()
    _validator(json.dumps(described[kind]["schema"])).validate(value)


def _read(text: str, schema: Mapping[str, Any]) -> Any:
    return int(text) if schema["type"] == "integer" and text.isdigit() else text


def _resolved(value: Any) -> dict[str, Any]:
    while "$ref" in value:
        found: Any = _DOCUMENT
        for name in value["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        value = found
    return dict(value)


@cache
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator(
        {**json.loads(schema), "components": _COMPONENTS},
        format_checker=Draft202012Validator.FORMAT_CHECKER,
    )
