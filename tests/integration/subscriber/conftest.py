"""A log to write to, and subscribers in this process that note down what they handle."""

from collections.abc import AsyncIterator

import pytest

from deploy.local.stack import Stack
from services.core.eventlog.topics import TopicNames
from tests.integration.projector.log import Log


@pytest.fixture
async def log(stack: Stack, topics: TopicNames) -> AsyncIterator[Log]:
    async with Log(stack.bootstrap_servers, topics) as opened:
        yield opened
