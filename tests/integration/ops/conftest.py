"""Installations with something in them; copies of a database are made where a test damages it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from deploy.local.stack import Stack
from services.core.eventlog.topics import TopicNames, create_topics
from tests.integration.ops.history import History, commit_as_renderer, make_history
from tests.integration.ops.installation import Installation, copied_database
from tests.topics import new_topic_names


@dataclass(frozen=True)
class Filled:
    installation: Installation
    history: History


@pytest.fixture(scope="package")
async def filled(stack: Stack, template_database: str) -> AsyncIterator[Filled]:
    """All is on the log and in the read models; nothing runs. Not to be written to."""
    topics = new_topic_names()
    await create_topics(stack.bootstrap_servers, topics, shard_count=1, replication_factor=1)
    async with copied_database(stack.database_url, template_database) as database_url:
        installation = Installation(database_url, stack.bootstrap_servers, topics)
        history = await make_history(installation)
        await commit_as_renderer(installation)
        yield Filled(installation, history)


@pytest.fixture
def sound(filled: Filled) -> Installation:
    return filled.installation


@pytest.fixture
def history(filled: Filled) -> History:
    return filled.history


@pytest.fixture
async def damageable(stack: Stack, sound: Installation) -> AsyncIterator[Installation]:
    """Like `sound`, with a database of its own."""
    template = urlsplit(sound.database_url).path.lstrip("/")
    async with copied_database(stack.database_url, template) as database_url:
        yield sound.moved(database_url=database_url)


@pytest.fixture
def empty(stack: Stack, database_url: str, topics: TopicNames) -> Installation:
    """Migrated, with topics, and nothing in it."""
    return Installation(database_url, stack.bootstrap_servers, topics)


@pytest.fixture
async def silent_server() -> AsyncIterator[str]:
    """host:port of one that takes connections and never says a word."""
    async with AsyncExitStack() as connections:

        async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections.callback(writer.close)

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        connections.callback(server.close)
        host, port = server.sockets[0].getsockname()
        yield f"{host}:{port}"


@pytest.fixture
async def bare_database(stack: Stack) -> AsyncIterator[str]:
    """A database with nothing in it."""
    async with copied_database(stack.database_url, "template0") as database_url:
        yield database_url
