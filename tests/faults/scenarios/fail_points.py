"""`kill -9` at the worst moments: every named fail point of every service."""

import asyncio
import signal
from collections.abc import Sequence

from services.core.failpoints import met
from tests.faults.arena import Arena
from tests.faults.part_log import log_from_now
from tests.faults.scenario import Scenario
from tests.faults.system import Part
from tests.waiting import eventually

POINTS: dict[str, tuple[str, ...]] = {
    "api": (
        "append.before_commit",
        "append.after_commit",
        "relay.read",
        "relay.sent",
        "relay.before_cursor",
        "relay.before_commit",
        "relay.after_commit",
        "relay.deleted",
    ),
    "renderer": (
        "ingest.before_insert",
        "ingest.after_insert",
        "worker.claimed",
        "worker.rendered",
        "worker.stored",
        "append.before_commit",
        "append.after_commit",
        "worker.before_acknowledge",
        "worker.acknowledged",
    ),
    "projector": ("projector.before_commit", "projector.after_commit"),
    "content": (
        "intake.before_commit",
        "worker.claimed",
        "worker.rendered",
        "worker.stored",
        "append.before_commit",
        "append.after_commit",
        "content.completed",
        "worker.before_acknowledge",
        "worker.acknowledged",
    ),
}
PLACES = [(name, point) for name, points in POINTS.items() for point in points]
MET_WITHIN = 60.0
PASSES = 4


async def die_at_each(arena: Arena, faults: int) -> None:
    """Every service at once, from point to point, each at a pass of chance."""
    rounds = -(-faults // len(PLACES))
    await asyncio.gather(
        *(
            _die_at_each(arena, arena.system.parts[name], points * rounds)
            for name, points in POINTS.items()
        )
    )


async def _die_at_each(arena: Arena, part: Part, points: Sequence[str]) -> None:
    for point in points:
        log = log_from_now(part.process.log)
        await arm(arena, part, "FAIL_AT", point)
        await eventually(f"{part.name} dies at {point}", part.has_ended, MET_WITHIN)
        status = part.process.exit_status
        if status == -signal.SIGKILL and log.count(met(point)):
            arena.broke(f"killed at {point}")
        else:
            arena.load.wrong.append(f"{part.name} ended with {status}, and not at {point}")
    part.start()
    await part.until_ready()


async def arm(arena: Arena, part: Part, variable: str, point: str) -> None:
    """Starts the service anew, to meet its fate at `point`."""
    passes = 1 + int(arena.chance.random() ** 2 * PASSES)
    part.kill()
    part.start(**{variable: f"{point}:{passes}"})


SCENARIOS = [Scenario("killed-at", die_at_each, short=len(PLACES), long=5 * len(PLACES))]
