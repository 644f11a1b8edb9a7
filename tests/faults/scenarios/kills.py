"""`kill -9` of one service after the other, and of several at once, under load; and SIGTERM."""

import asyncio
import signal

from tests.faults.arena import Arena
from tests.faults.scenario import Scenario
from tests.faults.system import Part

ENDS_WITHIN = 15.0
"""Seconds that a service may take over SIGTERM: requests under way get 10 s, the relay 3 s."""


async def kill_each_again_and_again(arena: Arena, faults: int) -> None:
    """All services at once, each in a rhythm of its own: they die together, too."""
    parts = list(arena.system.parts.values())
    each = -(-faults // len(parts))
    await asyncio.gather(*(_kill(arena, part, each) for part in parts))


async def _kill(arena: Arena, part: Part, times: int) -> None:
    for _ in range(times):
        await part.until_ready()
        await arena.a_moment(1.5)
        _kill_now(arena, part)
        part.start()
    await part.until_ready()


def _kill_now(arena: Arena, part: Part) -> None:
    """Counts only if it was alive."""
    part.kill()
    status = part.process.exit_status
    if status == -signal.SIGKILL:
        arena.broke(f"kill -9 {part.name}")
    else:
        arena.load.wrong.append(f"{part.name} had ended with {status} before it was killed")


async def kill_everything(arena: Arena, faults: int) -> None:
    """All services in the same moment."""
    parts = list(arena.system.parts.values())
    for _ in range(faults):
        await arena.until_accepted(3)
        await arena.a_moment(0.5)
        for part in parts:
            part.kill()
        arena.broke("kill -9 all services")
        for part in parts:
            part.start()
        await asyncio.gather(*(part.until_ready() for part in parts))


async def stop_politely(arena: Arena, faults: int) -> None:
    """SIGTERM under load, as every deployment does it."""
    parts = list(arena.system.parts.values())
    for _ in range(faults):
        part = arena.chance.choice(parts)
        await arena.a_moment(1.0)
        await asyncio.to_thread(part.process.stop, ENDS_WITHIN)
        if (status := part.process.exit_status) == 0:
            arena.broke(f"SIGTERM {part.name}")
        else:
            arena.load.wrong.append(f"{part.name} ended with {status} after SIGTERM")
        part.start()
        await part.until_ready()


# Four services: each is killed ten times in the short form, too.
SCENARIOS = [
    Scenario("kills", kill_each_again_and_again, short=40, long=220),
    Scenario("kill-all", kill_everything, short=2, long=20),
    Scenario("sigterm", stop_politely, short=4, long=30),
]
