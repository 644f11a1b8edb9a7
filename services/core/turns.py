"""Organizations take turns: whoever asks for much waits behind itself, and not before others.

Round robin between organizations, first come first served within one (Nagle, "On Packet Switches
with Infinite Storage", RFC 970).
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """What waits, by organization."""

    def __init__(self) -> None:
        self._queues: OrderedDict[str, deque[T]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def put(self, organization_id: str, item: T) -> None:
        self._queue_of(organization_id).append(item)

    def put_first(self, organization_id: str, item: T) -> None:
        """It is the next to be taken."""
        self._queue_of(organization_id).appendleft(item)
        self._queues.move_to_end(organization_id, last=False)

    def take(self) -> T:
        """The next item. Raises IndexError when there is none."""
        for organization_id in self._queues:
            return self.take_of(organization_id)
        raise IndexError

    def take_of(self, organization_id: str, *, newest: bool = False) -> T:
        """The organization's next item, or its newest one; all others have their turn before its
        next one."""
        queue = self._queues[organization_id]
        self._length -= 1
        item = queue.pop() if newest else queue.popleft()
        self._queues.move_to_end(organization_id)
        self._drop_if_empty(organization_id)
        return item

    def drop_first(self, organization_id: str, is_gone: Callable[[T], bool]) -> None:
        """Forgets the organization's first items as long as they are gone."""
        queue = self._queues.get(organization_id, deque())
        while queue and is_gone(queue[0]):
            queue.popleft()
            self._length -= 1
        self._drop_if_empty(organization_id)

    def organizations(self) -> list[str]:
        """Those with something waiting, in the order of their turns."""
        return list(self._queues)

    def waiting_of(self, organization_id: str) -> int:
        return len(self._queues.get(organization_id, ()))

    def _drop_if_empty(self, organization_id: str) -> None:
        if not self._queues.get(organization_id):
            self._queues.pop(organization_id, None)

    def _queue_of(self, organization_id: str) -> deque[T]:
        self._length += 1
        return self._queues.setdefault(organization_id, deque())


class Turns:
    """`places` for what only few may do at once; one organization has at most `of_one` of them."""

    def __init__(self, places: int, of_one: int = 1) -> None:
        self._free = places
        self._of_one = of_one
        self._held: Counter[str] = Counter()
        self._waiting: FairQueue[asyncio.Future[None]] = FairQueue()

    @asynccontextmanager
    async def turn(self, organization_id: str) -> AsyncIterator[None]:
        """Waits for a place, and has it in the block."""
        if self._may_have(organization_id):
            self._take(organization_id)
        else:
            await self._wait(organization_id)
        try:
            yield
        finally:
            self._give_back(organization_id)

    async def _wait(self, organization_id: str) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.put(organization_id, future)
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._give_back(organization_id)
            raise

    def _may_have(self, organization_id: str) -> bool:
        return self._free > 0 and self._held[organization_id] < self._of_one

    def _take(self, organization_id: str) -> None:
        self._free -= 1
        self._held[organization_id] += 1

    def _give_back(self, organization_id: str) -> None:
        self._free += 1
        self._held[organization_id] -= 1
        if not self._held[organization_id]:
            del self._held[organization_id]
        for waiting in self._waiting.organizations():
            while self._may_have(waiting) and self._waiting.waiting_of(waiting):
                future = self._waiting.take_of(waiting)
                if not future.done():
                    self._take(waiting)
                    future.set_result(None)
