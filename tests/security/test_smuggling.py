"""API8, and the edge of HTTP: what two parsers could read differently is refused, and nothing of
what follows on the connection is answered (RFC 9112, 11.2).
"""

import asyncio

import pytest

from tests.integration.api.calling import Caller
from tests.integration.api.serving import HOST, Service
from tests.integration.api.test_http import WITHIN, exchange

SMUGGLED = b"GET /v1/projects HTTP/1.1\r\nHost: a\r\n\r\n"


def post(*headers: bytes, body: bytes = b"") -> bytes:
    lines = [b"POST /v1/x HTTP/1.1", b"Host: a", *headers, b"", b""]
    return b"\r\n".join(lines) + body + SMUGGLED


def get(*headers: bytes, target: bytes = b"/v1/whoami", version: bytes = b"HTTP/1.1") -> bytes:
    return b"\r\n".join([b"GET " + target + b" " + version, *headers, b"", b""]) + SMUGGLED


CHUNKED = b"Transfer-Encoding: chunked"
LENGTH = b"Content-Length: "
LAST = b"0\r\n\r\n"

TWO_LENGTHS = {
    "a length, then chunks": post(LENGTH + b"5", CHUNKED, body=LAST),
    "chunks, then a length": post(CHUNKED, LENGTH + b"5", body=LAST),
    "the same length twice": post(LENGTH + b"2", LENGTH + b"2", body=b"ab"),
    "a list of lengths": post(LENGTH + b"2, 2", body=b"ab"),
    "a signed length": post(LENGTH + b"+2", body=b"ab"),
    "a hexadecimal length": post(LENGTH + b"0x2", body=b"ab"),
    "a length with an underscore": post(LENGTH + b"1_0", body=b"0123456789"),
    "a length beyond all": post(LENGTH + b"9" * 23, body=b"ab"),
    "an empty length": post(LENGTH, body=b"ab"),
}
CODINGS = {
    "identity": post(b"Transfer-Encoding: identity", body=LAST),
    "an unknown coding": post(b"Transfer-Encoding: xchunked", body=LAST),
    "chunked not last": post(b"Transfer-Encoding: chunked, identity", body=LAST),
    "chunked twice": post(b"Transfer-Encoding: chunked, chunked", body=LAST),
    "two codings": post(CHUNKED, b"Transfer-Encoding: identity", body=LAST),
    "a space before the colon": post(b"Transfer-Encoding : chunked", body=LAST),
    "a vertical tab": post(b"Transfer-Encoding: \x0bchunked", body=LAST),
    "folded": post(b"Transfer-Encoding:", b" chunked", body=LAST),
    "chunks in HTTP/1.0": post(CHUNKED, body=LAST).replace(b"HTTP/1.1", b"HTTP/1.0", 1),
}
CHUNKS = {
    "a negative size": post(CHUNKED, body=b"-1\r\n" + LAST),
    "a size beyond all": post(CHUNKED, body=b"f" * 17 + b"\r\n" + LAST),
    "a size with 0x": post(CHUNKED, body=b"0x1\r\na\r\n" + LAST),
    "a space behind the size": post(CHUNKED, body=b"1 \r\na\r\n" + LAST),
    "a bare line feed": post(CHUNKED, body=b"1\na\n0\n\n"),
    "a line feed in an extension": post(CHUNKED, body=b"1;a\nb\r\na\r\n" + LAST),
    "more than its size": post(CHUNKED, body=b"1\r\nab\r\n" + LAST),
}
HEADS = {
    "a folded header": get(b"Host: a", b"X-A: b", b" c: d"),
    "a header before the first": get(b" Host: a"),
    "bare line feeds": get(b"Host: a").replace(b"\r\n", b"\n"),
    "a bare line feed in a header": get(b"Host: a", b"X: y\nZ: w"),
    "a bare carriage return": get(b"Host: a", b"X: y\rZ: w"),
    "no host": get(),
    "two hosts": get(b"Host: a", b"Host: b"),
    "a space in a name": get(b"Host: a", b"X A: b"),
    "no name": get(b"Host: a", b": b"),
    "a name that is not ASCII": get(b"Host: a", b"X-\xff: b"),
    "a space in the path": get(b"Host: a", target=b"/v1/who ami"),
    "a byte beyond ASCII in the path": get(b"Host: a", target=b"/v1/\xff"),
    "thousands of headers": get(b"Host: a", *(b"X-%d: y" % number for number in range(3000))),
    "a long header": get(b"Host: a", b"X: " + b"y" * 9000),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}
ALL = TWO_LENGTHS | CODINGS | CHUNKS | HEADS


@pytest.mark.parametrize("sent", ALL.values(), ids=ALL)
async def test_what_two_parsers_could_read_differently_is_refused(
    service: Service, sent: bytes
) -> None:
    answer = await exchange(service, sent)  # one answer, and the connection is closed
    assert (answer.status, answer.code) == (400, "VALIDATION")


async def test_http_without_headers_is_refused(service: Service) -> None:
    received = await conversation(service, b"GET /v1/whoami\r\n\r\n")
    assert b"400" in received.partition(b"\r\n")[0]


async def test_a_head_that_is_large_and_not_whole_is_cut_off(service: Service) -> None:
    header = b"X-%d: " + b"y" * 8000 + b"\r\n"
    reader, writer = await asyncio.open_connection(HOST, service.port)
    writer.write(b"GET /v1/whoami HTTP/1.1\r\nHost: a\r\n")
    try:
        async with asyncio.timeout(WITHIN):
            for number in range(100):
                writer.write(header % number)
                await writer.drain()
            received = await reader.read()
    except ConnectionError:
        received = b""
    finally:
        writer.close()
    assert received == b""


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"http://elsewhere.example/v1/whoami", 200),
        (b"https://api@elsewhere.example:1/v1/whoami", 200),
        (b"http://elsewhere.example/media/../v1/whoami", 404),
        (b"//elsewhere.example/v1/whoami", 404),
        (b"/v1/%77hoami", 200),
        (b"/v1/x/../whoami", 404),
        (b"/v1/x/%2e%2e/whoami", 404),
        (b"/v1%2fwhoami", 404),
        (b"/v1/whoami;x=1", 404),
    ],
)
async def test_a_target_means_its_path_alone_wherever_it_points(
    caller: Caller, service: Service, target: bytes, status: int
) -> None:
    """Absolute form is to be accepted (RFC 9112, 3.2.2); its host changes nothing."""
    assert caller.key
    headers = [b"Host: b", b"X-Api-Key: " + caller.key.encode(), b"Connection: close"]
    head = b"\r\n".join([b"GET " + target + b" HTTP/1.1", *headers, b"", b""])
    answer = await exchange(service, head)
    assert answer.status == status
    if status == 200:
        assert answer.json["organizationId"] == caller.organization_id
        assert b"elsewhere" not in answer.body


async def test_a_trailer_and_a_hop_by_hop_header_are_no_key(
    caller: Caller, service: Service
) -> None:
    assert caller.key
    key = b"X-Api-Key: " + caller.key.encode() + b"\r\n"
    trailer = b"GET /v1/whoami HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + CHUNKED
    answer = await exchange(service, trailer + b"\r\n\r\n0\r\n" + key + b"\r\n")
    assert answer.status == 401


async def test_an_upgrade_that_nobody_offers_hides_no_request(service: Service) -> None:
    upgrade = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13")
    ended = SMUGGLED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    received = await conversation(service, get(b"Host: a", *upgrade).removesuffix(SMUGGLED) + ended)
    assert received.count(b"HTTP/1.1 401") == 2
    assert b"101 Switching" not in received


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"])
async def test_no_header_changes_the_method(caller: Caller, header: str) -> None:
    created = await caller.create()
    path = f"/v1/influencers/{created['influencerId']}"
    await caller.send("GET", path, headers={header: "DELETE"})
    assert (await caller.get(path)).status == 200


@pytest.mark.parametrize(
    "header", ["X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix", "X-Forwarded-Host"]
)
async def test_no_header_changes_the_path_or_our_address(caller: Caller, header: str) -> None:
    answer = await caller.send("GET", "/v1/whoami", headers={header: "/v1/projects"})
    assert answer.json["apiKeyId"] == caller.key_id
    created = await caller.send(
        "POST", caller.influencers, {"name": "Ava"}, headers={header: "elsewhere.example"}
    )
    assert created.headers["Location"] == created.json["locationUrl"]
    assert "elsewhere" not in str(created)


@pytest.mark.parametrize(
    "planted", ["%0d%0aX-Planted:%201", "%0aX-Planted:1", "%E5%98%8D%E5%98%8A"]
)
async def test_no_input_becomes_a_header_of_ours(caller: Caller, planted: str) -> None:
    for path in (f"/v1/{planted}", f"/v1/influencers/{planted}", f"/v1/jobs?cursor={planted}"):
        answer = await caller.get(path)
        assert answer.status in (404, 422)
        assert "X-Planted" not in answer.headers


async def conversation(service: Service, sent: bytes) -> bytes:
    """All that comes until the server closes the connection."""
    reader, writer = await asyncio.open_connection(HOST, service.port)
    writer.write(sent)
    try:
        async with asyncio.timeout(WITHIN):
            return await reader.read()
    finally:
        writer.close()
