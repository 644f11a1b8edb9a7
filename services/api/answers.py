"""Responses: JSON, the headers every one of them carries, and errors in both their shapes."""

from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web

from services.api.errors import ApiError

JSON = "application/json; charset=utf-8"
PROBLEM = "application/problem+json"

READ_HEADERS = {
    "Cache-Control": "private, no-cache",
    "Vary": "X-Api-Key, Authorization",
}
NO_STORE = {"Cache-Control": "no-store"}


def json_body(value: Any) -> bytes:
    return orjson.dumps(value)


def answer(
    body: bytes, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    return web.Response(body=body, status=status, headers={"Content-Type": JSON, **(headers or {})})


def read_answer(request: web.BaseRequest, record: Any, etag: str | None = None) -> web.Response:
    """A read's 200, or 304 when the client's copy is current."""
    headers = dict(READ_HEADERS)
    if etag is not None:
        headers["ETag"] = etag
        if is_current(request, etag):
            return web.Response(status=304, headers=headers)
    return answer(json_body(record), headers=headers)


def is_current(request: web.BaseRequest, etag: str) -> bool:
    """Whether `If-None-Match` names `etag`, by weak comparison (RFC 9110, 13.1.2)."""
    given = request.headers.getall("If-None-Match", ())
    tags = {tag.strip().removeprefix("W/") for line in given for tag in line.split(",")}
    return "*" in tags or etag in tags


def error_answer(error: ApiError, request_id: str, *, problem: bool) -> web.Response:
    """The contract's envelope, or a `problem` as RFC 9457 has it."""
    body = _problem(error, request_id) if problem else _envelope(error, request_id)
    return web.Response(
        body=json_body(body),
        status=error.status,
        headers={
            "Content-Type": PROBLEM if problem else JSON,
            "X-Request-Id": request_id,
            **NO_STORE,
            **error.headers,
        },
    )


def _envelope(error: ApiError, request_id: str) -> dict[str, Any]:
    fields = {"code": error.code, "message": error.text, "requestId": request_id}
    return {"error": {**fields, **_details(error)}}


def _problem(error: ApiError, request_id: str) -> dict[str, Any]:
    return {
        "type": f"/errors/{error.code.lower()}",
        "title": error.code.replace("_", " ").capitalize(),
        "status": error.status,
        "detail": error.text,
        "instance": request_id,
        "code": error.code,
        "requestId": request_id,
        **_details(error),
    }


def _details(error: ApiError) -> dict[str, Any]:
    return {"details": error.details} if error.details else {}
