"""Waits for a condition, with a time-out; tests never just sleep."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

INTERVAL = 0.02


class NeverHappened(AssertionError):
    """The condition did not come true in time; `last` is what it gave at last."""

    def __init__(self, what: str, last: object) -> None:
        super().__init__(f"{what} did not happen in time; last: {last!r}")
        self.last = last


async def eventually(
    what: str, condition: Callable[[], Awaitable[T | None]], within: float = 20.0
) -> T:
    """What `condition` gives as soon as that is truthy."""
    pause = asyncio.Event()
    deadline = asyncio.get_running_loop().time() + within
    while True:
        result = await condition()
        if result:
            return result
        if asyncio.get_running_loop().time() > deadline:
            raise NeverHappened(what, result)
        try:
            await asyncio.wait_for(pause.wait(), INTERVAL)
        except TimeoutError:
            continue
