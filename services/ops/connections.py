"""Connections for one command: opened, bounded, and their faults put in one clear line."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from services.core.errors import DependencyUnavailable
from services.core.eventlog.connection import kafka_options
from services.core.eventlog.read import committed_consumer, start_client
from services.core.postgres import CONNECT_TIMEOUT, Connection, Pool, database_faults, open_pool
from services.core.settings import DATABASE_URL
from services.ops.faults import NotMigrated, OperatorMistake

COMMAND_TIMEOUT = 60.0
DEFAULT_PATIENCE = 15.0
KAFKA_START_TIMEOUT = 10.0


@asynccontextmanager
async def patience(seconds: float, dependency: str = "kafka or postgres") -> AsyncIterator[None]:
    """Bounds all that is asked inside. Raises DependencyUnavailable."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as fault:
        raise DependencyUnavailable(dependency, f"no answer within {seconds:g} s") from fault


@asynccontextmanager
async def database(database_url: str) -> AsyncIterator[Connection]:
    """Raises DependencyUnavailable and NotMigrated."""
    async with database_faults(), _plain_words():
        connection = await _connected(database_url)
        try:
            yield connection
        except BaseException:
            connection.terminate()  # a polite goodbye might never be answered
            raise
        await connection.close(timeout=CONNECT_TIMEOUT)


@asynccontextmanager
async def database_pool(database_url: str, search_path: str) -> AsyncIterator[Pool]:
    """For what wants a pool. Raises DependencyUnavailable and NotMigrated."""
    async with database_faults(), _plain_words():
        pool = await open_pool(
            database_url, size=1, application="influencerctl", search_path=search_path
        )
        try:
            yield pool
        finally:
            pool.terminate()


async def _connected(database_url: str) -> Connection:
    try:
        return await asyncpg.connect(
            database_url,
            timeout=CONNECT_TIMEOUT,
            command_timeout=COMMAND_TIMEOUT,
            server_settings={"application_name": "influencerctl", "jit": "off"},
        )
    except ValueError:  # its words may hold a part of the password
        raise OperatorMistake(f"DATABASE_URL can't be read: it must be {DATABASE_URL}") from None


@asynccontextmanager
async def kafka_admin(bootstrap_servers: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """Raises DependencyUnavailable."""
    client = AIOKafkaAdminClient(
        bootstrap_servers=bootstrap_servers, request_timeout_ms=8_000, **kafka_options()
    )
    async with _kafka_faults():
        try:
            await start_client(client, KAFKA_START_TIMEOUT)
            yield client
        finally:
            await client.close()


@asynccontextmanager
async def kafka_consumer(
    bootstrap_servers: str, group_id: str | None = None, *, isolation: str = "read_committed"
) -> AsyncIterator[AIOKafkaConsumer]:
    """A started consumer. Raises DependencyUnavailable."""
    consumer = committed_consumer(
        bootstrap_servers, group_id=group_id, client_id="influencerctl", isolation_level=isolation
    )
    async with _kafka_faults():
        try:
            await start_client(consumer, KAFKA_START_TIMEOUT)
            yield consumer
        finally:
            await consumer.stop()


async def written_ends(
    bootstrap_servers: str, partitions: Sequence[TopicPartition]
) -> dict[TopicPartition, int]:
    """The offset after the last record that is written, committed or not.

    Kafka answers a commit before it marks the transaction on the log. What a `read_committed`
    consumer calls the end may so lie before events that have left the outbox already. Raises
    DependencyUnavailable.
    """
    async with kafka_consumer(bootstrap_servers, isolation="read_uncommitted") as consumer:
        ends = await consumer.end_offsets(partitions)
    return dict(sorted(ends.items()))


@asynccontextmanager
async def _plain_words() -> AsyncIterator[None]:
    try:
        yield
    except (
        asyncpg.UndefinedTableError,
        asyncpg.UndefinedColumnError,
        asyncpg.InvalidSchemaNameError,
    ) as fault:
        raise NotMigrated(fault.message or str(fault)) from fault
    except (
        asyncpg.InvalidAuthorizationSpecificationError,
        asyncpg.InvalidCatalogNameError,
        asyncpg.InsufficientPrivilegeError,
    ) as fault:
        raise DependencyUnavailable("postgres", str(fault)) from fault


@asynccontextmanager
async def _kafka_faults() -> AsyncIterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise  # whoever read our output went away, not Kafka
    except (KafkaError, OSError, TimeoutError) as fault:
        raise DependencyUnavailable("kafka", f"{type(fault).__name__}: {fault}") from fault
