"""API8: what a response tells of us, and which routes there are at all."""

import pytest

from services.api.application import ROUTES
from tests.integration.api.calling import Caller
from tests.integration.api.serving import Service
from tests.integration.api.test_http import exchange

TELLING = ("Server", "X-Powered-By", "Via")
MADE_OF = (b"aiohttp", b"python", b"asyncpg", b"postgres", b"kafka", b"traceback")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/whoami"),
        ("POST", "/v1/whoami"),
        ("GET", "/v1/nothing"),
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
        ("GET", "/media/x.png"),
        ("OPTIONS", "/v1/whoami"),
        ("TRACE", "/v1/whoami"),
    ],
)
async def test_no_answer_names_what_we_are_made_of(caller: Caller, method: str, path: str) -> None:
    answer = await caller.send(method, path)
    assert not [name for name in TELLING if name in answer.headers]
    assert not [name for name in answer.headers if name.startswith("Access-Control-")]
    if path != "/openapi.json":
        assert not [word for word in MADE_OF if word in answer.body.lower()]


async def test_nor_does_what_the_server_refuses_itself(service: Service) -> None:
    answer = await exchange(service, b"nonsense\r\n\r\n")
    assert not [name for name in TELLING if name in answer.headers]
    assert not [word for word in MADE_OF if word in answer.body.lower()]


async def test_a_trace_does_not_echo_a_key(caller: Caller) -> None:
    answer = await caller.send("TRACE", "/v1/whoami")
    assert answer.status == 405
    assert caller.key
    assert caller.key.encode() not in answer.body


async def test_bytes_of_others_are_never_a_page(caller: Caller) -> None:
    """A browser is told not to guess; no kind of media that we keep can hold a script."""
    answer = await caller.get("/docs")
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_there_is_a_class_of_limits_for_every_route() -> None:
    assert {route.limit for route in ROUTES} <= {"read", "write", "long"}
