"""A subscriber in this process that notes down what it handles."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from deploy.local.stack import Stack
from schemas.events import Event, EventData
from services.core.eventlog.topics import TopicNames
from services.core.subscriber import Received, Store, Subscriber
from tests.waiting import eventually


class Notebook:
    """`refuse` may raise for an event, before it is noted; each takes `seconds_each`."""

    def __init__(self, stack: Stack, topics: TopicNames, store: Store[Any], **options: Any) -> None:
        self.got: list[Event] = []
        self.refuse: Callable[[Event], None] = lambda event: None
        self.seconds_each = 0.0
        self.subscriber: Subscriber[Any] = Subscriber(
            f"{topics.prefix}notebook",
            stack.bootstrap_servers,
            store,
            topic_prefix=topics.prefix,
            **options,
        )
        self.subscriber.on()(self._note)

    async def _note(self, received: Received[EventData], _: Any) -> None:
        self.refuse(received.event)
        await asyncio.sleep(self.seconds_each)
        self.got.append(received.event)

    async def has(self, events: Sequence[Event]) -> None:
        """Waits until exactly these are noted, in whatever order of streams."""

        async def all_there() -> bool:
            return len(self.got) >= len(events)

        await eventually(f"{len(events)} events", all_there)
        assert sorted(one.id for one in self.got) == sorted(one.id for one in events)
