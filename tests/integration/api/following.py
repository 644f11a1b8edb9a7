"""Followers of an organization's events, and what the log itself says of them."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from aiokafka import ConsumerRecord

from deploy.local.stack import Stack
from schemas.events import Event
from services.core.eventlog.relay import ShardRelay
from services.core.eventlog.topics import TopicNames
from services.core.notifications import READ_MODEL_CHANNEL, Notifier
from services.core.postgres import Pool
from services.core.readmodel.schema import LIVE
from services.projector.projector import Projector
from tests.integration.api.calling import Answer, Caller
from tests.integration.api.serving import Service, serving
from tests.integration.api.streaming import EventReader
from tests.integration.ops.history import background
from tests.integration.projector.log import Log
from tests.reading import read_records
from tests.waiting import eventually

PROJECTORS = 2


@dataclass(frozen=True)
class Installation:
    """An api over a log that two projectors fold, and the log to write to."""

    service: Service
    log: Log

    @property
    def pool(self) -> Pool:
        return self.service.pool

    async def records(self, caller: Caller) -> list[ConsumerRecord]:
        """The organization's records on the log, as a consumer gets them."""
        found: list[ConsumerRecord] = []
        for topic in self.log.names.events:
            found += await read_records(self.log.bootstrap_servers, topic)
        key = caller.organization_id.encode() + b"/"
        return [record for record in found if record.key and record.key.startswith(key)]

    async def projected(self, caller: Caller, count: int) -> None:
        """Returns when that many records of the organization are in the read models."""

        async def reached() -> bool:
            rows = await self.pool.fetchval(
                f"select (select count(*) from {LIVE}.events where organization_id = $1::uuid)"
                f" + (select count(*) from {LIVE}.quarantine"
                "     where split_part(stream_key, '/', 1) = $1::uuid::text)",
                caller.organization_id,
            )
            return bool(rows >= count)

        await eventually(f"{count} records are projected", reached, 30)


@asynccontextmanager
async def installed(
    stack: Stack, database_url: str, topics: TopicNames
) -> AsyncIterator[Installation]:
    """Nobody polls: who waits hears of a change, or waits in vain."""
    async with AsyncExitStack() as running:
        service = await running.enter_async_context(
            serving(database_url, topics=topics, poll_interval=3600)
        )
        log = await running.enter_async_context(Log(stack.bootstrap_servers, topics))
        notifier = Notifier(service.pool, READ_MODEL_CHANNEL)
        projectors = [
            Projector(service.pool, stack.bootstrap_servers, topics, notifier, batch_size=50)
            for _ in range(PROJECTORS)
        ]
        relay = ShardRelay(database_url, stack.bootstrap_servers, topics)
        parts = [notifier.run(), relay.run(), *(projector.run() for projector in projectors)]
        await running.enter_async_context(background(*parts))

        async def joined() -> bool:
            return all(projector.status.joined for projector in projectors)

        await eventually("the projectors have joined", joined, 30)
        yield Installation(service, log)


def of(caller: Caller, events: Iterable[Event]) -> list[Event]:
    """`events` as they would have happened to the caller's organization."""
    return [
        replace(event, organization_id=caller.organization_id, project_id=caller.project_id)
        for event in events
    ]


@dataclass
class Follower:
    """Reads the feed page by page, from where it was."""

    caller: Caller
    query: str = ""
    cursor: str | None = None
    has_more: bool = True
    items: list[Any] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    async def page(self, limit: int = 100, **headers: str) -> Answer:
        after = f"&after={self.cursor}" if self.cursor else ""
        answer = await self.caller.get(f"/v1/events?limit={limit}{after}{self.query}", **headers)
        assert answer.status == 200, answer
        assert len(answer.json["items"]) <= limit
        self.items += answer.json["items"]
        self.bodies.append(answer.body)
        self.cursor, self.has_more = answer.json["nextCursor"], answer.json["hasMore"]
        return answer

    async def to_the_end(self, limit: int = 100) -> list[Any]:
        """Reads on while there is more; everything read so far."""
        self.has_more = True
        while self.has_more:
            await self.page(limit)
        return self.items

    @property
    def ids(self) -> list[str]:
        return [item["id"] for item in self.items]


@asynccontextmanager
async def following(caller: Caller, query: str = "", **headers: str) -> AsyncIterator[EventReader]:
    """The feed as a stream."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    sent |= {"X-Api-Key": caller.key or "", "Accept": "text/event-stream"}
    async with caller.http.get(f"{caller.base_url}/v1/events{query}", headers=sent) as response:
        assert response.status == 200, await response.text()
        yield EventReader(response)


def require_the_same(records: list[ConsumerRecord], follower: Follower) -> None:
    """Each record exactly once, each attribute as in its header, the value byte for byte, and
    those of one key in their order on the log."""
    assert len(follower.ids) == len(set(follower.ids))
    by_id = {item["id"]: item for item in follower.items}
    answered = b"".join(follower.bodies)
    assert by_id.keys() == {headers_of(record)["ce_id"] for record in records}
    for record in records:
        headers = headers_of(record)
        item = dict(by_id[headers["ce_id"]])
        assert b'"data":' + record.value + b"}" in answered
        assert item.pop("data") == orjson.loads(record.value)
        assert item.pop("datacontenttype") == headers.pop("content-type")
        assert {name.removeprefix("ce_"): value for name, value in headers.items()} == item
    assert in_order(follower.items, lambda i: f"{i['organizationid']}/{i['subject']}", id_of) == (
        in_order(records, lambda r: r.key.decode(), lambda r: headers_of(r)["ce_id"])
    )


def headers_of(record: ConsumerRecord) -> dict[str, str]:
    return {name: value.decode() for name, value in record.headers}


def in_order(
    things: Iterable[Any], key: Callable[[Any], str], name: Callable[[Any], str]
) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for thing in things:
        found.setdefault(key(thing), []).append(name(thing))
    return found


def id_of(item: Any) -> str:
    return str(item["id"])
