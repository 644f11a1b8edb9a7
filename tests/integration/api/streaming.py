"""A client of event streams, and the projector's part in them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from services.core.notifications import READ_MODEL_CHANNEL
from tests.integration.api.calling import Caller
from tests.integration.api.scenes import events_of, keep_event
from tests.integration.api.serving import Service
from tests.waiting import eventually


@dataclass
class Message:
    id: str | None = None
    event: str | None = None
    data: Any = None


@dataclass
class EventReader:
    """Reads an open stream; `retry` and `comments` are what came besides messages."""

    response: aiohttp.ClientResponse
    retry: int | None = None
    comments: int = 0
    seen: list[Message] = field(default_factory=list)

    async def next(self) -> Message | None:
        """The next message; None when the stream has ended."""
        message = Message()
        while line := await self.response.content.readline():
            name, _, value = line.decode().rstrip("\n").partition(":")
            value = value.removeprefix(" ")
            if name == "id":
                message.id = value
            elif name == "event":
                message.event = value
            elif name == "data":
                message.data = orjson.loads(value)
            elif name == "retry":
                self.retry = int(value)
            elif line.startswith(b":"):
                self.comments += 1
            elif not name and message.event:
                self.seen.append(message)
                return message
        return None

    async def rest(self) -> list[Message]:
        """Every message until the stream ends."""
        messages = []
        while message := await self.next():
            messages.append(message)
        return messages


@asynccontextmanager
async def streaming(
    caller: Caller, job_id: str, after: str | None = None, **headers: str
) -> AsyncIterator[EventReader]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    query = f"?after={after}" if after else ""
    url = f"{caller.base_url}/v1/jobs/{job_id}/events{query}"
    async with caller.http.get(url, headers={"X-Api-Key": caller.key or "", **sent}) as response:
        assert response.status == 200, await response.text()
        yield EventReader(response)


async def project(
    caller: Caller, service: Service, influencer_id: str, *, without: int = 0
) -> list[str]:
    """Brings the history up to date and says so, as the projector does; the ids of all events.

    `without` is the sequence of an event that is left out.
    """
    events = await events_of(caller, service, influencer_id)
    for event in events:
        if event.sequence == without:
            continue
        await keep_event(service.pool, event)
    await service.pool.execute("select pg_notify($1, '')", READ_MODEL_CHANNEL)
    return [event.id for event in events]


async def until_waiting(service: Service, count: int) -> None:
    async def waits() -> bool:
        return service.changes.waiting == count

    await eventually(f"{count} wait", waits)
