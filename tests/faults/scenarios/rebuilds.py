"""A rebuild of the read models under load, killed or stopped for a while in each of its phases."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable

import psutil

from services.core.failpoints import met
from tests.faults.arena import Arena, for_a_while
from tests.faults.scenario import Scenario
from tests.waiting import eventually

PHASES = (
    "fill",
    "locked",
    "swapped",
    "start",
    "filled",
    "index-built",
    "catch-up",
    "compare",
    "armed",
)
STOPPED_SECONDS = 12.0
"""Longer than the 10 s after which Postgres ends a transaction that locks the live tables."""
ENDS_WITHIN = 60.0
SWAPPED, FAILED, UNAVAILABLE = 0, 1, 3
WORKER_KILLED = f"a worker died: status {-signal.SIGKILL}"
"""Where the log is long, it is a process of its own that comes by the fail point of the fill."""


async def break_rebuilds(arena: Arena, faults: int) -> None:
    """Killed in one phase, stopped in the next; at last one is let be, and it gets through."""
    for turn in range(faults):
        phase = PHASES[turn % len(PHASES)]
        break_it = WAYS[(turn + turn // len(PHASES)) % len(WAYS)]
        await arena.until_accepted(2)
        await break_it(arena, phase)
    whole = await _rebuild(arena)
    status, told = await _end_of(whole)
    if status != SWAPPED:
        arena.load.wrong.append(f"an undisturbed rebuild ended with {status}: {told}")


async def _kill(arena: Arena, phase: str) -> None:
    status, told = await _end_of(await _rebuild(arena, FAIL_AT=f"rebuild.{phase}"))
    is_killed = status == -signal.SIGKILL or (status == FAILED and WORKER_KILLED in told)
    if is_killed and met(f"rebuild.{phase}") in told:
        arena.broke(f"a rebuild is killed at {phase}")
    else:
        arena.load.wrong.append(f"a rebuild ended with {status}, and not at {phase}: {told}")


async def _stop(arena: Arena, phase: str) -> None:
    """It goes on and swaps, or finds its connections ended, and says so."""
    process = await _rebuild(arena, STOP_AT=f"rebuild.{phase}")
    ended = asyncio.create_task(_end_of(process))
    await eventually(f"the rebuild stops at {phase}", lambda: _is_stopped(process), ENDS_WITHIN)
    await for_a_while(STOPPED_SECONDS)
    process.send_signal(signal.SIGCONT)
    status, told = await ended
    if status in (SWAPPED, UNAVAILABLE):
        arena.broke(f"a rebuild is stopped at {phase}")
    else:
        arena.load.wrong.append(f"a rebuild that was stopped at {phase}: {status}, {told}")


async def _rebuild(arena: Arena, **environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.ops", "rebuild", "--yes", "--workers", "1", "--json"),
        env={**os.environ, **arena.system.environment, **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def _end_of(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    """Its exit status, and what it said."""
    async with asyncio.timeout(ENDS_WITHIN + STOPPED_SECONDS):
        told, _ = await process.communicate()
    return process.returncode, told.decode(errors="replace")[-2000:]


async def _is_stopped(process: asyncio.subprocess.Process) -> bool:
    if process.returncode is not None:
        raise AssertionError(f"the rebuild ended with {process.returncode}")
    return bool(psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)


WAYS: list[Callable[[Arena, str], Awaitable[None]]] = [_kill, _stop]

SCENARIOS = [Scenario("rebuilds", break_rebuilds, short=2, long=36)]
