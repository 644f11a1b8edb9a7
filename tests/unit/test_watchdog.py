"""The watchdog lets a loop that lives alone, and ends one that hangs."""

import asyncio
import threading

import pytest

from services.core import watchdog
from services.core.watchdog import Watchdog


@pytest.fixture(autouse=True)
def short_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "_TICK", 0.05)


async def test_a_loop_that_hangs_is_noticed() -> None:
    hung = threading.Event()
    running = asyncio.create_task(Watchdog(3, hung.set).run())
    await asyncio.sleep(0)
    assert hung.wait(5)  # blocks the loop, as a hang would
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_loop_that_lives_is_left_alone() -> None:
    hung = threading.Event()
    running = asyncio.create_task(Watchdog(10, hung.set).run())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(running), 1.0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert not hung.is_set()
