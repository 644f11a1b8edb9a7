"""A subscriber in the suite's own process: for a team's own tests, as fast as it gets."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol

from .under_test import Effect, NotConforming, Surroundings

STOP_TIMEOUT = 20.0


class Runnable(Protocol):
    """What `Subscriber` is, too."""

    async def run(self) -> None: ...

    def stop(self) -> None: ...


class InProcess:
    """`make` makes a member, e.g. a `Subscriber` with its handlers; `effects` tells what they did.

    A kill is a cancellation here: harder than a stop, yet a real one needs a process of its own.
    """

    def __init__(
        self,
        make: Callable[[Surroundings], Runnable],
        effects: Callable[[Surroundings], Awaitable[Sequence[Effect]]],
    ) -> None:
        self._make = make
        self._effects = effects

    async def start(self, surroundings: Surroundings) -> "InProcessMember":
        return InProcessMember(self._make(surroundings))

    async def effects(self, surroundings: Surroundings) -> Sequence[Effect]:
        return await self._effects(surroundings)


class InProcessMember:
    def __init__(self, subscriber: Runnable) -> None:
        self._subscriber = subscriber
        self._running = asyncio.create_task(subscriber.run())

    @property
    def ended(self) -> str | None:
        if not self._running.done():
            return None
        fault = None if self._running.cancelled() else self._running.exception()
        return f"it ended with {fault!r}" if fault else "it ended"

    async def stop(self) -> None:
        self._subscriber.stop()
        try:
            async with asyncio.timeout(STOP_TIMEOUT):
                await asyncio.wait({self._running})
        except TimeoutError:
            await self.kill()
            raise NotConforming(f"it did not end within {STOP_TIMEOUT:g} s") from None

    async def kill(self) -> None:
        self._running.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await self._running
