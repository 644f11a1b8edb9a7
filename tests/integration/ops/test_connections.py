"""Connections of commands: none is left open, whenever a command is given up."""

import asyncio
import gc
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from services.ops.connections import kafka_admin, kafka_consumer
from tests.integration.ops.installation import Installation

STEP = 0.0005


@pytest.mark.parametrize("connect", [kafka_admin, kafka_consumer])
async def test_given_up_at_any_moment_of_its_start(
    sound: Installation, connect: Callable[[str], AbstractAsyncContextManager[Any]]
) -> None:
    """One left open would be a ResourceWarning, and those are errors here."""
    for step in range(60):
        starting = asyncio.create_task(entered(connect(sound.bootstrap_servers)))
        await asyncio.wait({starting}, timeout=step * STEP)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
    gc.collect()


async def entered(connection: AbstractAsyncContextManager[Any]) -> None:
    async with connection:
        pass
