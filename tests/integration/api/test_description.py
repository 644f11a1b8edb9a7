"""`GET /openapi.json` and `GET /docs`: without a key, whole, and from here alone."""

import json
import re

import pytest
from jsonschema import ValidationError

from services.api.openapi.pages import ASSETS, DOCUMENT
from tests.integration.api.calling import Caller
from tests.integration.api.conftest import NewCaller
from tests.integration.api.description import require_described


@pytest.fixture
async def stranger(new: NewCaller) -> Caller:
    caller = await new()
    return Caller(caller.http, caller.base_url, "", "", key=None, key_id="")


async def test_the_document_is_the_committed_one(stranger: Caller) -> None:
    answer = await stranger.get("/openapi.json")
    assert answer.status == 200
    assert answer.body == DOCUMENT.read_bytes()
    again = await stranger.get("/openapi.json", If_None_Match=answer.headers["ETag"])
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize("name", [name for name in ASSETS if name])
async def test_every_asset_of_the_page_is_there(stranger: Caller, name: str) -> None:
    answer = await stranger.get(f"/docs/{name}")
    assert answer.status == 200
    assert answer.body
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_the_page_loads_nothing_from_elsewhere(stranger: Caller) -> None:
    answer = await stranger.get("/docs")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self';" in policy
    assert "unsafe" not in policy
    linked = re.findall(r'(?:src|href)="([^"]+)"', answer.body.decode())
    assert {f"/docs/{name}" for name in ASSETS if name} < {*linked}
    for path in linked:
        assert (await stranger.get(path)).status == 200


@pytest.mark.parametrize("name", ["/docs/", "/docs/nothing", "/docs/..%2f..%2fpyproject.toml"])
async def test_other_names_are_not_found(stranger: Caller, name: str) -> None:
    assert (await stranger.get(name)).code == "NOT_FOUND"


async def test_an_answer_that_is_not_as_described_is_told(caller: Caller) -> None:
    answer = await caller.get("/v1/whoami")
    get, path, headers = "GET", "/v1/whoami", answer.headers.copy()
    require_described(get, path, 200, headers, answer.body)
    with pytest.raises(AssertionError, match="says nothing of 201"):
        require_described(get, path, 201, headers, answer.body)
    body = json.dumps({**answer.json, "more": 1}).encode()
    with pytest.raises(ValidationError, match="'more' was unexpected"):
        require_described(get, path, 200, headers, body)
    headers["Cache-Control"] = "public"
    with pytest.raises(ValidationError, match="'private, no-cache' was expected"):
        require_described(get, path, 200, headers, answer.body)
    del headers["Cache-Control"]
    with pytest.raises(AssertionError, match="Cache-Control is missing"):
        require_described(get, path, 200, headers, answer.body)
