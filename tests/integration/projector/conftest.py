"""A log to write to, and a projector in this process."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from deploy.local.stack import Stack
from services.core.eventlog.topics import TopicNames
from services.core.notifications import READ_MODEL_CHANNEL, Notifier
from services.core.postgres import Pool
from services.projector.projector import Projector
from tests.integration.projector.log import Log
from tests.integration.projector.models import ReadModels


@pytest.fixture
async def log(stack: Stack, topics: TopicNames) -> AsyncIterator[Log]:
    async with Log(stack.bootstrap_servers, topics) as opened:
        yield opened


@pytest.fixture
def models(pool: Pool) -> ReadModels:
    return ReadModels(pool)


@pytest.fixture
async def projector(stack: Stack, topics: TopicNames, pool: Pool) -> AsyncIterator[Projector]:
    """Running; small batches, so that a test spans several."""
    notifier = Notifier(pool, READ_MODEL_CHANNEL)
    made = Projector(pool, stack.bootstrap_servers, topics, notifier, batch_size=50)
    running = [asyncio.create_task(part) for part in (made.run(), notifier.run())]
    yield made
    for part in running:
        part.cancel()
    for ending in await asyncio.gather(*running, return_exceptions=True):
        assert isinstance(ending, asyncio.CancelledError), ending
