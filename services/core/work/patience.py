"""Waiting for what we stand on: Postgres and the object store come back, so work is never lost."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from services.core.errors import DependencyUnavailable
from services.core.eventlog.requests import AppendQueueFull
from services.core.storage.errors import StorageUnavailable

log = structlog.get_logger(__name__)

T = TypeVar("T")

FIRST_DELAY = 0.05
LONGEST_DELAY = 2.0
PASSING_FAULTS = (DependencyUnavailable, AppendQueueFull, StorageUnavailable)


async def patiently(what: str, attempt: Callable[[], Awaitable[T]]) -> T:
    """What `attempt` gives once nothing it stands on is away; repeats it until then, for ever."""
    delay = FIRST_DELAY
    while True:
        try:
            return await attempt()
        except PASSING_FAULTS as fault:
            log.warning("waits_for_dependency", what=what, fault=str(fault), seconds=delay)
        await asyncio.sleep(delay)
        delay = min(delay * 2, LONGEST_DELAY)
