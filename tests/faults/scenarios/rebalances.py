"""Members of the consumer groups come and go all at once, faster than a group settles."""

import asyncio
import random

from tests.faults.arena import Arena, for_a_while
from tests.faults.scenario import Scenario
from tests.faults.system import Part

AT_ONCE = 2
"""Replicas of each service."""
SHORTEST, LONGEST = 2.0, 6.0
"""Seconds that one stays: it may be about to join, in the middle of it, or at work."""


async def storm(arena: Arena, faults: int) -> None:
    """In waves: nobody waits for anybody, and half of them leave by `kill -9`."""
    parts = [part for part in arena.system.parts.values() if part.name != "api"]
    members = [part for part in parts for _ in range(AT_ONCE)]
    for wave in range(-(-faults // len(members))):
        await asyncio.gather(
            *(_visit(arena, part, wave + place) for place, part in enumerate(members))
        )
        await arena.until_accepted(3)


async def _visit(arena: Arena, part: Part, turn: int) -> None:
    twin = arena.system.twin_of(part)
    stay = random.Random(f"{twin.process.name} {arena.chance.random()}").uniform(SHORTEST, LONGEST)
    twin.start()
    await for_a_while(stay)
    was_ready = twin.process.is_running() and await twin.is_ready()
    if turn % 2 == 0:
        await asyncio.to_thread(twin.process.stop, 15)
    else:
        await asyncio.to_thread(twin.kill)
    arena.broke(f"a {part.name} comes and goes" if was_ready else f"a {part.name} leaves early")


SCENARIOS = [Scenario("rebalances", storm, short=6, long=24)]
