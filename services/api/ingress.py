"""New requests come in a few at a time, so that those under way get on.

An event loop does in one turn all that is there for it. With a thousand connections that ask for
something at once, each turn takes a thousand times the work of one, and a request that needs ten
turns waits for ten thousand. So a turn begins only a few; the bytes of the others wait as they are.
"""

import asyncio
from collections import deque
from collections.abc import Callable

IN_A_TURN = 16

Begin = Callable[[], None]


class Ingress:
    """One for all connections of a server."""

    def __init__(self, in_a_turn: int = IN_A_TURN) -> None:
        self._in_a_turn = in_a_turn
        self._left = in_a_turn
        self._is_turning = False
        self._waiting: deque[Begin] = deque()

    def begin(self, begin: Begin) -> None:
        """Calls `begin`, now or in a later turn; in the order of the calls."""
        if self._left > 0:
            self._left -= 1
            begin()
        else:
            self._waiting.append(begin)
        if not self._is_turning:
            self._is_turning = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        begun = min(len(self._waiting), self._in_a_turn)
        self._left = self._in_a_turn - begun
        for _ in range(begun):
            self._waiting.popleft()()
        self._is_turning = begun > 0
        if self._is_turning:
            asyncio.get_running_loop().call_soon(self._turn)
