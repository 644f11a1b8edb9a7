"""Clients that leave: before the body, within it, during the commit, before the answer."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

from schemas.ids import Prefix, UlidSource
from tests.faults.arena import Arena, for_a_while
from tests.faults.scenario import Scenario

IDS = UlidSource()


async def leave_early(arena: Arena, faults: int) -> None:
    """Whoever left asks again with the same key: there must be one influencer, and one job."""
    for turn in range(faults):
        what, seconds, part_of = LEAVINGS[turn % len(LEAVINGS)]
        influencer_id, key = IDS.new(Prefix.INFLUENCER), IDS.new(Prefix.REQUEST)
        body = {"name": "Gone already", "influencerId": influencer_id}
        arena.journal.ask(organizationId=arena.system.organization_id, influencerId=influencer_id)
        request = _request(arena, key, json.dumps(body).encode())
        await _send_and_leave(arena, part_of(request), seconds)
        arena.broke(what)
        await arena.load.ask_again(body, key)


def _request(arena: Arena, key: str, body: bytes) -> bytes:
    head = (
        f"POST /v1/projects/{arena.system.project_id}/influencers HTTP/1.1\r\n"
        f"Host: {urlsplit(arena.system.base_url).netloc}\r\n"
        f"X-Api-Key: {arena.system.api_key}\r\nIdempotency-Key: {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _send_and_leave(arena: Arena, content: bytes, seconds: float) -> None:
    address = urlsplit(arena.system.base_url)
    with suppress(OSError):
        _, writer = await asyncio.open_connection(address.hostname, address.port)
        try:
            writer.write(content)
            await writer.drain()
            await for_a_while(seconds)
        finally:
            writer.transport.abort()


def _head(request: bytes) -> bytes:
    return request[: request.index(b"\r\n\r\n") + 4]


def _half(request: bytes) -> bytes:
    return request[:-20]


def _whole(request: bytes) -> bytes:
    return request


LEAVINGS: list[tuple[str, float, Callable[[bytes], bytes]]] = [
    ("leaves before the body", 0.0, _head),
    ("leaves within the body", 0.05, _half),
    ("leaves at once after the request", 0.0, _whole),
    ("leaves during the commit", 0.002, _whole),
    ("leaves before the answer", 0.005, _whole),
]

SCENARIOS = [Scenario("clients-leave", leave_early, short=10, long=110)]
