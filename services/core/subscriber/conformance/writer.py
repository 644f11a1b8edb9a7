"""Writes to the log what the service would, and what it never should."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count
from types import TracebackType
from typing import Self
from uuid import uuid4

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from schemas.events import (
    INFLUENCER_TOPIC,
    Event,
    EventData,
    InfluencerDrafted,
    InfluencerUpdated,
    headers_of,
    value_of,
)
from schemas.ids import Prefix, UlidSource
from schemas.profile import Personality, Profile

from ..subscriber import EVENT_TOPICS

PARTITIONS = 12
ORGANIZATION_ID = "0b9d3f5e-6a51-4c9e-8a1f-3f1f6f1f0a01"
PROJECT_ID = "5c1c8a52-2f5e-4e0b-9d75-0d2f3c4b5a02"
TIME = "2026-11-23T09:15:02.118Z"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
PROFILE = Profile(
    name="Ava Chen",
    gender="female",
    style="minimalist streetwear",
    personality=Personality(traits=("curious", "warm"), tone="conversational"),
)
_IDS = UlidSource()


@dataclass(slots=True)
class Stream:
    """An influencer whose events are all written to one partition."""

    partition: int
    subject: str = field(default_factory=lambda: _IDS.new(Prefix.INFLUENCER))
    _sequences: "count[int]" = field(default_factory=lambda: count(1))

    @property
    def key(self) -> str:
        return f"{ORGANIZATION_ID}/{self.subject}"

    def event(self, sequence: int | None = None) -> "Written":
        """The stream's next event, or one with any `sequence`: drafted, then renamed."""
        number = next(self._sequences) if sequence is None else sequence
        data: EventData = InfluencerDrafted(profile=PROFILE)
        if number > 1:
            data = InfluencerUpdated(changes={"name": f"Ava {number}"})
        request = _IDS.new(Prefix.REQUEST)
        return Written(
            self,
            Event(
                id=_IDS.new(Prefix.EVENT),
                source="/services/api",
                subject=self.subject,
                time=TIME,
                sequence=number,
                organization_id=ORGANIZATION_ID,
                project_id=PROJECT_ID,
                correlation_id=request,
                causation_id=request,
                traceparent=TRACEPARENT,
                data=data,
            ),
        )

    def events(self, number: int) -> list["Written"]:
        return [self.event() for _ in range(number)]


@dataclass(frozen=True, slots=True)
class Written:
    """An event on its way to the log; `headers` and `value` replace what is right.

    `is_foreign` writes no header of ours at all.
    """

    stream: Stream
    event: Event
    headers: Mapping[str, str] = field(default_factory=dict)
    value: bytes | None = None
    is_foreign: bool = False

    @property
    def id(self) -> str:
        return self.event.id

    def encoded_headers(self) -> list[tuple[str, bytes]]:
        if self.is_foreign:
            return [("content-type", b"text/plain")]
        written = {**headers_of(self.event), **self.headers}
        return [(name, value.encode()) for name, value in written.items()]


class Writer:
    def __init__(self, bootstrap_servers: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap_servers,
            transactional_id=f"conformance-{uuid4().hex}",
        )
        self._admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)

    async def __aenter__(self) -> Self:
        try:
            await self._admin.start()
            await self._producer.start()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        await self._producer.stop()
        await self._admin.close()

    async def create_topics(self, prefix: str) -> None:
        names = [f"{prefix}{topic}" for topic in EVENT_TOPICS]
        await self._admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names])
        await self._wait_for_leaders(names)

    async def _wait_for_leaders(self, names: list[str]) -> None:
        """A topic is there before its leaders are; a subscriber's patience is not the matter."""
        async with asyncio.timeout(20):
            while True:
                found = await self._admin.describe_topics(names)
                if all(
                    len(topic["partitions"]) == PARTITIONS
                    and all(partition["leader"] >= 0 for partition in topic["partitions"])
                    for topic in found
                ):
                    return
                await asyncio.sleep(0.05)

    async def delete_topics(self, prefix: str) -> None:
        await self._admin.delete_topics([f"{prefix}{topic}" for topic in EVENT_TOPICS])

    async def members(self, group: str) -> int:
        """How many members the group has; 0 while it is being balanced anew."""
        (answer,) = await self._admin.describe_consumer_groups([group])
        (_, _, state, _, _, members, *_) = answer.groups[0]
        return len(members) if state == "Stable" else 0

    async def write(self, prefix: str, written: Iterable[Written], *, commit: bool = True) -> None:
        """One transaction."""
        await self._producer.begin_transaction()
        for one in written:
            value = value_of(one.event) if one.value is None else one.value
            await self._producer.send(
                f"{prefix}{INFLUENCER_TOPIC}",
                value,
                None if one.is_foreign else one.stream.key.encode(),
                partition=one.stream.partition,
                headers=one.encoded_headers(),
            )
        if commit:
            await self._producer.commit_transaction()
        else:
            await self._producer.abort_transaction()
