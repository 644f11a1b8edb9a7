"""Faults below the routes: bytes that are no HTTP, bodies that stall, clients that leave."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import suppress

import aiohttp
import orjson
import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from tests.integration.api.calling import Answer, Caller, new_caller, require_contract
from tests.integration.api.pictures import picture, upload
from tests.integration.api.serving import HOST, Service, serving
from tests.waiting import eventually

WITHIN = 10.0


async def exchange(service: Service, sent: bytes) -> Answer:
    """The one answer to `sent`, after which the server has closed the connection."""
    reader, writer = await asyncio.open_connection(HOST, service.port)
    writer.write(sent)
    try:
        async with asyncio.timeout(WITHIN):
            return parsed(await reader.read())
    finally:
        writer.close()


def parsed(received: bytes) -> Answer:
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = CIMultiDict[str]()
    for line in lines:
        name, _, value = line.partition(": ")
        headers.add(name, value)
    answer = Answer(int(status.split()[1]), CIMultiDictProxy(headers), body)
    assert int(headers["Content-Length"]) == len(body), "more than one answer"
    require_contract(answer)
    return answer


def post(caller: Caller, *headers: str, body: bytes = b"") -> bytes:
    lines = [
        f"POST {caller.influencers} HTTP/1.1",
        "Host: api",
        f"X-Api-Key: {caller.key}",
        "Content-Type: application/json",
        *headers,
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + body


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"nonsense\r\n\r\n", id="no request line"),
        pytest.param(b"GET /v1/whoami HTTP/9.9\r\nHost: a\r\n\r\n", id="an unknown version"),
        pytest.param(b"GET\x00 /v1/whoami HTTP/1.1\r\nHost: a\r\n\r\n", id="NUL in the method"),
        pytest.param(b"BREW /v1/whoami HTTP/1.1\r\nHost: a\r\n\r\n", id="an unknown method"),
        pytest.param(b"GET /v1/whoami HTTP/1.1\r\nno colon\r\n\r\n", id="no header"),
        pytest.param(b"GET /v1/whoami HTTP/1.1\r\nA: \x00\r\n\r\n", id="NUL in a header"),
        pytest.param(
            b"GET /v1/whoami HTTP/1.1\r\nX-Api-Key: " + b"x" * 20_000 + b"\r\n\r\n",
            id="a header too long",
        ),
        pytest.param(b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n", id="a path too long"),
        pytest.param(b"POST /v1/x HTTP/1.1\r\nContent-Length: -1\r\n\r\n", id="a negative length"),
        pytest.param(
            b"POST /v1/x HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            id="two lengths",
        ),
        pytest.param(
            b"POST /v1/x HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"0\r\n\r\n",
            id="a length and chunks",
        ),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS"),
    ],
)
async def test_what_is_no_http_gets_the_contracts_error(service: Service, sent: bytes) -> None:
    answer = await exchange(service, sent)
    assert (answer.status, answer.code) == (400, "VALIDATION")


async def test_a_bad_chunk_is_a_bad_request(caller: Caller, service: Service) -> None:
    request = post(caller, "Transfer-Encoding: chunked", body=b"4\r\n{}  \r\nnonsense\r\n\r\n")
    answer = await exchange(service, request)
    assert (answer.status, answer.code) == (400, "VALIDATION")
    assert (await caller.get(caller.influencers)).json["items"] == []


async def test_a_body_without_a_content_type_is_refused(caller: Caller, service: Service) -> None:
    body = b'{"name": "Ava"}'
    headers = ("Connection: close", f"Content-Length: {len(body)}")
    request = post(caller, *headers, body=body).replace(b"Content-Type: application/json\r\n", b"")
    assert b"Content-Type" not in request
    answer = await exchange(service, request)
    assert (answer.status, answer.code) == (415, "UNSUPPORTED_MEDIA_TYPE")


async def test_bytes_that_are_not_what_their_encoding_says_are_a_bad_request(
    caller: Caller,
) -> None:
    answer = await caller.post(caller.influencers, b"not gzip", Content_Encoding="gzip")
    assert (answer.status, answer.code) == (400, "VALIDATION")


async def test_an_expectation_that_nobody_can_meet(caller: Caller, service: Service) -> None:
    for path in ("/v1/whoami", "/v1/nothing"):
        sent = f"GET {path} HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\nConnection: close\r\n\r\n"
        answer = await exchange(service, sent.encode())
        assert (answer.status, answer.code) == (417, "VALIDATION")


@pytest.fixture
async def impatient(shared_database_url: str) -> AsyncIterator[Service]:
    async with serving(shared_database_url, body_timeout=0.2) as running:
        yield running


async def test_a_body_that_stalls_ends_in_time(caller: Caller, impatient: Service) -> None:
    answer = await exchange(impatient, post(caller, "Content-Length: 100", body=b'{"name": '))
    assert answer.form_errors == ["The body did not arrive in time"]
    assert (await caller.get(caller.influencers)).json["items"] == []


async def test_a_body_that_trickles_ends_in_time(caller: Caller, impatient: Service) -> None:
    reader, writer = await asyncio.open_connection(HOST, impatient.port)
    writer.write(post(caller, "Transfer-Encoding: chunked"))
    received = asyncio.create_task(reader.read())

    async def trickled() -> bool:
        if not writer.is_closing():
            writer.write(b"1\r\n \r\n")
        return received.done()

    await eventually("the server has had enough", trickled, within=WITHIN)
    writer.close()
    # Closed while the client was still sending: the answer may be lost then.
    with suppress(ConnectionResetError):
        assert parsed(received.result()).form_errors


async def test_a_client_that_leaves_within_its_body_changes_nothing(
    caller: Caller, service: Service
) -> None:
    _, writer = await asyncio.open_connection(HOST, service.port)
    writer.write(post(caller, "Content-Length: 100", body=b'{"name": "Ava"}'))
    await writer.drain()
    writer.transport.abort()
    assert (await caller.get(caller.influencers)).json["items"] == []


async def test_a_client_that_leaves_before_the_answer_does_not_undo_the_append(
    caller: Caller, service: Service
) -> None:
    async with service.pool.acquire() as holding:
        transaction = holding.transaction()
        await transaction.start()
        await holding.execute("lock table event_log.outbox in access exclusive mode")
        body = orjson.dumps({"name": "Ava"})
        _, writer = await asyncio.open_connection(HOST, service.port)
        writer.write(
            post(caller, f"Content-Length: {len(body)}", "Idempotency-Key: left", body=body)
        )

        async def waits() -> bool:
            return bool(
                await holding.fetchval(
                    "select exists (select from pg_locks where not granted"
                    " and relation = 'event_log.outbox'::regclass)"
                )
            )

        await eventually("the append waits", waits)
        writer.transport.abort()
        await transaction.rollback()

    async def found() -> bool:
        return bool((await caller.get(caller.influencers)).json["items"])

    await eventually("the influencer is there", found)
    again = await caller.post(caller.influencers, body, Idempotency_Key="left")
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len((await caller.get(caller.influencers)).json["items"]) == 1


async def test_a_request_that_takes_too_long_is_unavailable_and_may_be_repeated(
    caller: Caller, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.api.time_limit.REQUEST_TIMEOUT", 0.3)
    async with service.pool.acquire() as holding:
        transaction = holding.transaction()
        await transaction.start()
        await holding.execute("lock table event_log.outbox in access exclusive mode")
        answer = await caller.post(caller.influencers, {"name": "Ava"}, Idempotency_Key="slow")
        assert (answer.status, answer.code) == (503, "UNAVAILABLE")
        await transaction.rollback()
    monkeypatch.undo()
    again = await caller.post(caller.influencers, {"name": "Ava"}, Idempotency_Key="slow")
    assert again.status == 202
    assert len((await caller.get(caller.influencers)).json["items"]) == 1


async def test_requests_in_a_row_are_answered_in_order(caller: Caller, service: Service) -> None:
    body = b'{"name": "Ava"}'
    one = post(caller, f"Content-Length: {len(body)}", body=body)
    last = post(caller, "Content-Length: 1", "Connection: close", body=b"{")
    reader, writer = await asyncio.open_connection(HOST, service.port)
    writer.write(one + one + last)
    async with asyncio.timeout(WITHIN):
        received = await reader.read()
    writer.close()
    assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"202", b"202", b"422"]


async def test_a_stop_lets_requests_under_way_end(
    http: aiohttp.ClientSession, shared_database_url: str, service: Service
) -> None:
    caller = await new_caller(http, service)
    async with serving(shared_database_url) as stopping:
        await caller.at(stopping).get("/v1/whoami")
        creates = [asyncio.create_task(caller.at(stopping).create()) for _ in range(20)]
        await asyncio.wait(creates, return_when=asyncio.FIRST_COMPLETED)
    outcomes = await asyncio.gather(*creates, return_exceptions=True)
    done = [outcome for outcome in outcomes if isinstance(outcome, dict)]
    shown = (await caller.get(f"{caller.influencers}?limit=100")).json["items"]
    assert {one["influencerId"] for one in done} <= {item["influencerId"] for item in shown}
    assert done


async def test_every_line_of_if_none_match_counts(caller: Caller, service: Service) -> None:
    created = await caller.create()
    asset = await upload(caller, picture())
    for path in (
        f"/v1/influencers/{created['influencerId']}",
        created["locationUrl"],
        f"/v1/media/{asset['assetId']}",
        asset["url"],
        "/openapi.json",
    ):
        etag = (await caller.get(path)).headers["ETag"]
        for lines, status in (
            (['"x"', etag], 304),
            ([etag, '"x"'], 304),
            (['"x", "y"', f'"z", W/{etag}'], 304),
            (['"x"', '"y"'], 200),
        ):
            headers = CIMultiDict([("If-None-Match", line) for line in lines])
            assert (await caller.send("GET", path, headers=headers)).status == status, (path, lines)


async def test_a_line_after_the_first_is_waited_for(caller: Caller) -> None:
    created = await caller.create()
    etag = (await caller.get(created["locationUrl"])).headers["ETag"]
    headers = CIMultiDict([("If-None-Match", '"x"'), ("If-None-Match", etag), ("Prefer", "wait=1")])
    answer = await caller.send("GET", created["locationUrl"], headers=headers)
    assert (answer.status, answer.headers["Preference-Applied"]) == (304, "wait=1")
