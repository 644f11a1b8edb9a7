"""Plays the scenarios one after the other, and tells how each came out."""

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .room import Room
from .scenarios import SCENARIOS, Scenario
from .under_test import Guarantee, NotConforming, UnderTest
from .writer import Writer

PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """`complaint` says what is wrong, None if nothing; `state` is the folder of what is left."""

    scenario: Scenario
    seconds: float
    complaint: str | None
    state: Path

    @property
    def passed(self) -> bool:
        return self.complaint is None


async def run_suite(
    under_test: UnderTest,
    bootstrap_servers: str,
    folder: Path,
    *,
    guarantee: Guarantee = Guarantee.AT_LEAST_ONCE,
    scenarios: Sequence[Scenario] = SCENARIOS,
    patience: float = PATIENCE,
) -> AsyncIterator[Outcome]:
    """Plays each of `scenarios`, waiting at most `patience` seconds for anything expected.

    The subscriber's files are under `folder`. After a failure the next scenario has topics and a
    subscriber of its own. Raises aiokafka's KafkaError when Kafka does not answer.
    """
    async with Writer(bootstrap_servers) as writer:
        room: Room | None = None
        try:
            for scenario in scenarios:
                if room is None:
                    room = Room(under_test, writer, bootstrap_servers, folder, guarantee, patience)
                    await room.open()
                outcome = await _played(scenario, room)
                if not outcome.passed:
                    await room.close()
                    room = None
                yield outcome
        finally:
            if room:
                await room.close()


async def _played(scenario: Scenario, room: Room) -> Outcome:
    began = time.monotonic()
    complaint = None
    try:
        await room.have_one_member()
        await scenario.play(room)
    except NotConforming as fault:
        complaint = str(fault)
    return Outcome(scenario, time.monotonic() - began, complaint, room.surroundings.state)
