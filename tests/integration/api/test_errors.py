"""Errors that belong to no field: unknown paths, methods, faults of ours and of our parts."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from tests.integration.api.calling import PROBLEM, Answer, Caller, new_caller
from tests.integration.api.conftest import NewCaller
from tests.integration.api.gate import Gate
from tests.integration.api.serving import Service, serving
from tests.waiting import eventually

UNKNOWN = "018f3c9a-0000-7000-8000-000000000001"


@pytest.mark.parametrize(
    "path",
    ["/", "/v1", "/v1/", "/v2/whoami", "/v1/whoami/", "//v1/whoami", "/v1/nothing", "/openapi.xml"],
)
async def test_an_unknown_route_is_not_found(caller: Caller, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        answer = await caller.send(method, path)
        assert (answer.status, answer.code) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/whoami", "GET, HEAD"),
        ("/v1/projects", "GET, HEAD"),
        (f"/v1/projects/{UNKNOWN}/influencers", "GET, HEAD, POST"),
        (f"/v1/jobs/{UNKNOWN}/cancel", "POST"),
    ],
)
async def test_an_unknown_method_is_told_which_are_allowed(
    caller: Caller, path: str, allowed: str
) -> None:
    for method in ("PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND"):
        answer = await caller.send(method, path)
        assert (answer.status, answer.code) == (405, "METHOD_NOT_ALLOWED")
        assert answer.headers["Allow"] == allowed


MALFORMED = ["nonsense", "%00", "%ff", "..%2f..", "inf_", "%F0%9F%92%83", "a" * 4000, "job%5f1"]


@pytest.mark.parametrize("wrong", MALFORMED)
@pytest.mark.parametrize(
    "path", ["/v1/influencers/{}", "/v1/jobs/{}", "/v1/projects/{}", "/v1/projects/{}/influencers"]
)
async def test_a_malformed_id_in_a_path_is_not_found(caller: Caller, path: str, wrong: str) -> None:
    answer = await caller.get(path.format(wrong))
    assert (answer.status, answer.code) == (404, "NOT_FOUND")


async def test_what_is_anothers_answers_exactly_as_what_is_not_there(
    caller: Caller, new: NewCaller
) -> None:
    other = await new()
    theirs = await other.create()
    pairs = [
        ("GET", "/v1/influencers/{}", theirs["influencerId"]),
        ("GET", "/v1/jobs/{}", theirs["jobId"]),
        ("POST", "/v1/jobs/{}/cancel", theirs["jobId"]),
        ("GET", "/v1/projects/{}", other.project_id),
        ("GET", "/v1/projects/{}/influencers", other.project_id),
        ("POST", "/v1/projects/{}/influencers", other.project_id),
    ]
    for method, path, identifier in pairs:
        body = {"name": "Ava"} if path.endswith("influencers") and method == "POST" else None
        found = await caller.send(method, path.format(identifier), body)
        random = await caller.send(method, path.format(UNKNOWN), body)
        assert found.status == random.status == 404, path
        assert _but_for_request_id(found.json) == _but_for_request_id(random.json)
        assert set(found.headers) == set(random.headers)
    assert (await other.get(f"/v1/jobs/{theirs['jobId']}")).json["status"] == "running"


def _but_for_request_id(body: Any) -> Any:
    return {**body["error"], "requestId": None}


async def test_problem_json_for_who_asks_for_it(caller: Caller) -> None:
    answer = await caller.send(
        "POST", caller.influencers, {}, headers={"Accept": f"{PROBLEM}, application/json;q=0.5"}
    )
    assert answer.headers["Content-Type"] == PROBLEM
    problem = answer.json
    assert problem == {
        "type": "/errors/validation",
        "title": problem["title"],
        "status": 422,
        "detail": "Invalid body.",
        "instance": answer.headers["X-Request-Id"],
        "code": "VALIDATION",
        "requestId": answer.headers["X-Request-Id"],
        "details": {"fieldErrors": {"name": ["Required"]}},
    }
    stranger = replace(caller, key=None)
    answer = await stranger.get("/v1/whoami", Accept=PROBLEM)
    assert answer.json["type"] == "/errors/unauthenticated"
    assert answer.json["status"] == answer.status == 401
    assert "details" not in answer.json
    answer = await caller.get("/v1/nothing", Accept=PROBLEM)
    assert answer.json["type"] == "/errors/not_found"
    answer = await caller.get("/v1/whoami", Accept=PROBLEM)
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"


async def test_every_request_has_an_id_of_its_own(caller: Caller) -> None:
    answers = [await caller.get("/v1/whoami") for _ in range(5)]
    answers += [await caller.get("/v1/nothing") for _ in range(5)]
    assert len({answer.headers["X-Request-Id"] for answer in answers}) == 10


async def test_a_bug_of_ours_leaks_nothing(
    caller: Caller, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("select secret from somewhere")

    monkeypatch.setattr(service.group_commit, "append", broken)
    with capture_logs() as logs:
        answer = await caller.post(caller.influencers, {"name": "Ava"})
    assert (answer.status, answer.code) == (500, "INTERNAL")
    [logged] = [entry for entry in logs if entry["event"] == "request_failed"]
    assert logged["request_id"] == answer.headers["X-Request-Id"]
    assert answer.details is None
    assert b"secret" not in answer.body
    assert b"RuntimeError" not in answer.body


@pytest.fixture
async def gate(database_url: str) -> AsyncIterator[Gate]:
    async with Gate.to(database_url) as opened:
        yield opened


async def require_unavailable(caller: Caller, created: dict[str, str]) -> None:
    async def unavailable() -> bool:
        return (await caller.get("/v1/whoami")).status == 503

    await eventually("the key is no longer remembered", unavailable)
    requests = [
        ("GET", f"/v1/influencers/{created['influencerId']}", None),
        ("GET", f"/v1/jobs/{created['jobId']}", None),
        ("GET", caller.influencers, None),
        ("POST", caller.influencers, {"name": "Bea"}),
        ("POST", f"/v1/jobs/{created['jobId']}/cancel", None),
    ]
    for answer in await asyncio.gather(*(caller.send(*request) for request in requests)):
        assert (answer.status, answer.code) == (503, "UNAVAILABLE")
        assert int(answer.headers["Retry-After"]) >= 1
        assert answer.details is None
        assert b"postgres" not in answer.body.lower()


@pytest.mark.parametrize("way", ["closed", "silent"])
async def test_without_postgres_everything_is_unavailable_until_it_is_back(
    http: aiohttp.ClientSession, gate: Gate, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.core.postgres.ACQUIRE_TIMEOUT", 0.3)
    monkeypatch.setattr("services.core.postgres.COMMAND_TIMEOUT", 0.5)
    async with serving(gate.database_url) as behind_gate:
        caller = await new_caller(http, behind_gate)
        created = await caller.create()
        await (gate.close() if way == "closed" else gate.silence())
        await require_unavailable(caller, created)
        await gate.open()

        async def back() -> Answer | None:
            answer = await caller.get(caller.influencers)
            return answer if answer.status == 200 else None

        items = (await eventually("Postgres is back", back)).json["items"]
        assert [item["name"] for item in items] == ["Ava Chen"]


async def test_a_write_cut_off_is_unavailable_while_the_key_is_still_remembered(
    http: aiohttp.ClientSession, gate: Gate
) -> None:
    async with serving(gate.database_url) as behind_gate:
        caller = await new_caller(http, behind_gate)
        await caller.create()
        await gate.close()
        answer = await caller.post(caller.influencers, {"name": "Bea"}, Idempotency_Key="k")
        assert answer.code == "UNAVAILABLE"
        await gate.open()

        async def done() -> bool:
            again = await caller.post(caller.influencers, {"name": "Bea"}, Idempotency_Key="k")
            return again.status == 202

        await eventually("the same key works", done)
        assert len((await caller.get(caller.influencers)).json["items"]) == 2


async def test_a_full_queue_is_unavailable(
    caller: Caller, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.group_commit, "_max_waiting", 0)
    answer = await caller.post(caller.influencers, {"name": "Ava"})
    assert (answer.status, answer.code) == (503, "UNAVAILABLE")
    assert answer.headers["Retry-After"] == "1"
