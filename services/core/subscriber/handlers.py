"""Who handles which type, one event at a time or many at once."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

from schemas.events import EventData

from .records import KNOWN_TYPES, Data, Received, type_names

Effects = TypeVar("Effects")

Handler: TypeAlias = Callable[[Received[Data], Effects], Awaitable[None]]
BatchHandler: TypeAlias = Callable[[Sequence[Received[Data]], Effects], Awaitable[None]]


class HandlersMixed(Exception):
    """A subscriber handles events one by one or in batches; with both they would have no order."""


class Handlers(Generic[Effects]):
    def __init__(self) -> None:
        self._by_type: dict[str, list[Handler[Any, Effects]]] = {}
        self._batch: BatchHandler[Any, Effects] | None = None
        self._batch_types: frozenset[str] = frozenset()

    @property
    def in_batches(self) -> bool:
        return self._batch is not None

    def handles(self, event_type: str) -> bool:
        return event_type in self._batch_types or event_type in self._by_type

    def add(self, types: Sequence[type[EventData]], handler: Handler[Any, Effects]) -> None:
        """For `types`, or for every known one if there are none. Raises HandlersMixed."""
        if self._batch:
            raise HandlersMixed("there is a batch handler already")
        for name in type_names(types) or KNOWN_TYPES:
            self._by_type.setdefault(name, []).append(handler)

    def set_batch(
        self, types: Sequence[type[EventData]], handler: BatchHandler[Any, Effects]
    ) -> None:
        """For `types`, or for every known one if there are none. Raises HandlersMixed."""
        if self._batch or self._by_type:
            raise HandlersMixed("a batch handler must be the only handler")
        self._batch = handler
        self._batch_types = frozenset(type_names(types)) or KNOWN_TYPES

    async def handle(self, event: Received[EventData], effects: Effects) -> None:
        if self._batch:
            await self._batch((event,), effects)
        for handler in self._by_type.get(event.event.type, ()):
            await handler(event, effects)

    async def handle_batch(self, events: Sequence[Received[EventData]], effects: Effects) -> None:
        assert self._batch
        await self._batch(events, effects)
