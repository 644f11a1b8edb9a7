"""Refusals in a row: who comes back at once after one is kept waiting for the next.

A refusal costs little, but a client that doesn't mind `Retry-After` can ask for thousands a second.
While it waits for its answer, its connection asks for nothing.
"""

import asyncio

AT_ONCE = 20
"""Refusals of an organization in a second; the others have a pause."""
PAUSE = 0.5
"""Seconds."""
MAXIMUM_REMEMBERED = 10_000


class Pacing:
    def __init__(self) -> None:
        self._refused: dict[str, tuple[int, int]] = {}

    async def refused(self, organization_id: str) -> None:
        """Before each refusal is told."""
        second = int(asyncio.get_running_loop().time())
        last, count = self._refused.get(organization_id, (second, 0))
        count = count + 1 if last == second else 1
        if len(self._refused) >= MAXIMUM_REMEMBERED:
            self._refused.clear()
        self._refused[organization_id] = second, count
        if count > AT_ONCE:
            await asyncio.sleep(PAUSE)
