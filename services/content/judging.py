"""A second look at what waits: should a request ever be overlooked, it doesn't wait for ever."""

import asyncio
from contextlib import suppress

import structlog

from services.content.intake import judge_again
from services.core.clock import Clock, timestamp
from services.core.errors import DependencyUnavailable
from services.core.postgres import Pool, acquire
from services.core.subscriber import TryLater

log = structlog.get_logger(__name__)

INTERVAL = 30.0


async def judge_now_and_then(pool: Pool, clock: Clock) -> None:
    """Runs for ever; what fails is tried again at the next turn."""
    while True:
        with suppress(DependencyUnavailable, TryLater):
            async with acquire(pool) as connection, connection.transaction():
                overlooked = await judge_again(connection, timestamp(clock()))
            if overlooked:
                log.warning("requests_were_overlooked", count=overlooked)
        await asyncio.sleep(INTERVAL)
