"""Real Postgres and real Kafka, started once per run; a database and topics of its own per test."""

import asyncio
import gc
import tracemalloc
import warnings
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest

from deploy.local.stack import Stack, test_stack
from services.core.eventlog.topics import TopicNames, create_topics
from services.core.postgres import Pool, open_pool
from services.ops.migrations import migrate
from tests.topics import OF_THIS_RUN, RUN, delete_topics, new_topic_names

TEMPLATE = f"influencer_template_{RUN}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Names what only the end of the run lets go of.

    What a test leaves open fails the test that is under way when it is found. This is found when
    there is none any more, and to raise it here would fail a run without a word of where to look.
    """
    with warnings.catch_warnings(record=True) as left_open:
        warnings.simplefilter("always", ResourceWarning)
        gc.collect()
    for warning in left_open:
        terminalreporter.write_line(f"left open until the end of the run: {warning.message}")
        if warning.source is not None and (
            place := tracemalloc.get_object_traceback(warning.source)
        ):
            terminalreporter.write_line("\n".join(place.format()))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with test_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running
        if running.kafka is None:  # it is there for others and goes on
            asyncio.run(delete_topics(running.bootstrap_servers, OF_THIS_RUN))


@pytest.fixture(scope="session")
def template_database(stack: Stack) -> Iterator[str]:
    """The name of a migrated database that tests are cloned from."""
    asyncio.run(_make_template(stack.database_url))
    yield TEMPLATE
    if stack.postgres is None:
        asyncio.run(execute(stack.database_url, f"drop database {TEMPLATE} with (force)"))


@pytest.fixture
async def database_url(stack: Stack, template_database: str) -> AsyncIterator[str]:
    """A fresh, migrated database."""
    name = f"test_{uuid4().hex}"
    await execute(stack.database_url, f"create database {name} template {template_database}")
    yield database_named(stack.database_url, name)
    await execute(stack.database_url, f"drop database {name} with (force)")


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    opened = await open_pool(database_url, size=10, application="test")
    yield opened
    opened.terminate()


@pytest.fixture
async def topics(stack: Stack) -> TopicNames:
    """Topics of this test alone."""
    names = new_topic_names()
    await create_topics(stack.bootstrap_servers, names, shard_count=1, replication_factor=1)
    return names


def database_named(database_url: str, name: str) -> str:
    return urlunsplit(urlsplit(database_url)._replace(path=f"/{name}"))


async def _make_template(database_url: str) -> None:
    await execute(database_url, f"create database {TEMPLATE}")
    await migrate(database_named(database_url, TEMPLATE))


async def execute(database_url: str, statement: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
