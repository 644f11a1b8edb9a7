"""A render backend that is slow, hangs, returns garbage or a bomb, refuses, says 429, has bugs."""

from collections import Counter

from tests.faults.arena import Arena, LoadShape
from tests.faults.backends import MOODS, said_of
from tests.faults.part_log import LogFrom, log_from_now
from tests.faults.scenario import Scenario
from tests.waiting import eventually

ASKED = ("renderer", "content")
"""Whoever has pictures made."""


async def render_badly(arena: Arena, faults: int) -> None:
    """As often as the backend said that it wasn't in the mood, and in each mood at least once."""
    logs = [log_from_now(arena.system.parts[name].process.log) for name in ASKED]

    async def was_moody() -> bool:
        met = _moods(logs)
        return met.total() >= faults and len(met) == len(MOODS)

    await eventually(f"{faults} pictures are troubled", was_moody, within=60 + faults)
    for mood, times in _moods(logs).items():
        for _ in range(times):
            arena.broke(said_of(mood))


def _moods(logs: list[LogFrom]) -> Counter[str]:
    texts = [log.text() for log in logs]
    met = Counter({mood: sum(t.count(said_of(mood)) for t in texts) for mood in MOODS})
    return +met


SCENARIOS = [
    Scenario(
        "backends",
        render_badly,
        short=24,
        long=90,
        shape=LoadShape(pause=0.3),
        environment={
            "RENDERER_BACKEND": "tests.faults.backends:moody",
            "RENDERER_IMAGE_TIMEOUT": "1",
            "RENDERER_RETRY_DELAY": "0.1",
            "RENDERER_RETRY_DELAY_LIMIT": "0.5",
            "CONTENT_IMAGE_TIMEOUT": "1",
            "CONTENT_RETRY_DELAY": "0.1",
            "CONTENT_RETRY_DELAY_LIMIT": "0.5",
        },
    )
]
