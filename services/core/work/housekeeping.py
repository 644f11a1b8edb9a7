"""Looks after the queue's tables, and tells how long the queue is."""

import asyncio
from contextlib import suppress

from prometheus_client import Gauge

from services.core.errors import DependencyUnavailable
from services.core.work.queue import WorkQueue
from services.core.work.task import AnyTask

DEPTH_INTERVAL = 5.0
LOOKS_BETWEEN_CLEANING = 120


async def keep_house(queue: WorkQueue[AnyTask], entries: Gauge) -> None:
    """Runs for ever; `entries` tells how many there are, by status.

    What fails is tried again at the next turn.
    """
    looks = 0
    while True:
        with suppress(DependencyUnavailable):
            for status, count in (await queue.depth()).items():
                entries.labels(status).set(count)
            if looks % LOOKS_BETWEEN_CLEANING == 0:
                await queue.forget_old_log()
        looks += 1
        await asyncio.sleep(DEPTH_INTERVAL)
