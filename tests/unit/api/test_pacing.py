"""Who is refused again and again is told later."""

import asyncio

import pytest

from services.api import pacing
from services.api.pacing import AT_ONCE, Pacing


@pytest.fixture(autouse=True)
def never_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "PAUSE", 3600.0)


async def told(paced: Pacing, organization_id: str, count: int) -> int:
    """How many of so many refusals are told at once."""
    refusals = [asyncio.create_task(paced.refused(organization_id)) for _ in range(count)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    done = sum(refusal.done() for refusal in refusals)
    for refusal in refusals:
        refusal.cancel()
    return done


async def test_the_first_few_in_a_second_are_told_at_once() -> None:
    assert await told(Pacing(), "noisy", AT_ONCE) == AT_ONCE
    # The second may have ended meanwhile, once.
    assert AT_ONCE <= await told(Pacing(), "noisy", 3 * AT_ONCE) <= 2 * AT_ONCE


async def test_an_organization_does_not_wait_for_the_refusals_of_another() -> None:
    paced = Pacing()
    await told(paced, "noisy", 3 * AT_ONCE)
    assert await told(paced, "quiet", 1) == 1


async def test_a_second_later_it_is_told_at_once_again() -> None:
    paced = Pacing()
    await told(paced, "noisy", 3 * AT_ONCE)
    paced._refused["noisy"] = (0, 3 * AT_ONCE)
    assert await told(paced, "noisy", 1) == 1
