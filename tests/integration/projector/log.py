"""Writes records to the log as the relay does, good ones and bad ones."""

from collections.abc import Iterable
from types import TracebackType
from uuid import uuid4

from aiokafka import AIOKafkaProducer

from schemas.events import Event, headers_of, value_of
from services.core.domain.aggregates import aggregate_of
from services.core.eventlog.topics import TopicNames
from services.core.readmodel.records import Headers


def encoded_headers(event: Event) -> Headers:
    return [(name, value.encode()) for name, value in headers_of(event).items()]


class Log:
    def __init__(self, bootstrap_servers: str, names: TopicNames) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.names = names
        self._producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap_servers, transactional_id=f"test-{uuid4().hex}"
        )

    async def __aenter__(self) -> "Log":
        await self._producer.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._producer.stop()

    async def write(self, events: Iterable[Event], partition: int | None = None) -> None:
        """One transaction; `partition` puts streams together that their keys would part."""
        async with self._producer.transaction():
            for event in events:
                await self._producer.send(
                    self.names.named(aggregate_of(event.subject).topic),
                    value_of(event),
                    event.key.encode(),
                    partition=partition,
                    headers=encoded_headers(event),
                )

    async def write_raw(
        self,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        partition: int,
        topic: str | None = None,
    ) -> None:
        async with self._producer.transaction():
            await self._producer.send(
                topic or self.names.influencer, value, key, partition=partition, headers=headers
            )

    async def write_aborted(self, events: Iterable[Event]) -> None:
        await self._producer.begin_transaction()
        for event in events:
            await self._producer.send(
                self.names.influencer,
                value_of(event),
                event.key.encode(),
                headers=encoded_headers(event),
            )
        await self._producer.abort_transaction()
