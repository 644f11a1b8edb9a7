"""The short form of `make load`: what more than enough load does, and does not, to the api.

How many times slower something gets is a figure of `make load`: on two cores, which the load itself
takes up, a second or two tell nothing of that. Here are the bounds that hold anywhere.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.local.stack import Stack
from tests.bench.__main__ import fresh_system
from tests.faults.system import System
from tests.load.neighbours import NOISY_CONNECTIONS, another, neighbours
from tests.load.overload import creating, overloaded

IN_TIME = 10.0
"""Seconds of the slowest of a hundred accepted ones: half of what a write may take at most."""
BESIDE_OTHERS = 2.0
"""Seconds of the slowest of a hundred, while another organization asks for all there is."""
ROOM = 100.0
"""MiB, for some hundred clients and what they ask."""
GROWS = 16.0
"""MiB that a second round may need beyond the first."""
AFTERWARDS = 1.0
"""Seconds of the slowest of a hundred, as soon as it is over."""


@pytest.fixture
async def system(stack: Stack, tmp_path: Path) -> AsyncIterator[System]:
    """Its api runs, relay included, and nothing else."""
    async with fresh_system(stack, tmp_path) as built:
        built.parts["api"].start()
        await built.parts["api"].until_ready()
        yield built


async def test_ten_times_too_much_is_shed_and_what_is_accepted_is_done_in_time(
    system: System,
) -> None:
    seen = await overloaded(system, seconds=2.0, closed=1.5)
    for outcome in seen.rounds:
        assert outcome.statuses.keys() == {"202", "503"}
        # What was due while every connection waited was offered too.
        assert outcome.unsent + sum(outcome.statuses.values()) > 3 * outcome.of(202)
        assert (outcome.hurried, outcome.unanswered) == (0, 0)
        assert outcome.quantile(202, 0.99) < IN_TIME
    assert (seen.lost, seen.unasked) == (0, 0)
    first, second = seen.peaks
    assert first < seen.memory_before + ROOM
    assert second < first + GROWS
    assert seen.after.statuses.keys() == {"202"}
    assert seen.after.quantile(202, 0.99) < AFTERWARDS


async def test_a_noisy_neighbour_is_not_heard_much(system: System) -> None:
    quiet = replace(await another(system), seconds=1.5)
    noisy = creating(system, connections=NOISY_CONNECTIONS)
    pairs = await neighbours(quiet, noisy, rounds=3)
    for pair in pairs:
        assert pair.beside.statuses.keys() == {"202"}
        assert pair.noisy.of(202) > pair.beside.of(202)
        assert pair.beside.quantile(202, 0.99) < BESIDE_OTHERS
