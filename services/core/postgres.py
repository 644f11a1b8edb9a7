"""Postgres: the pool, and its faults as our own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import asyncpg

from services.core.errors import DependencyUnavailable

ACQUIRE_TIMEOUT = 3.0
COMMAND_TIMEOUT = 15.0
CONNECT_TIMEOUT = 5.0

# In quotes: generic in its stubs only.
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_UNAVAILABLE = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what asyncpg says of a connection that was cut under its hands
    # By their classes (https://www.postgresql.org/docs/current/errcodes-appendix.html):
    asyncpg.PostgresConnectionError,  # 08
    asyncpg.TransactionRollbackError,  # 40: a deadlock, or who is to serialize
    asyncpg.InsufficientResourcesError,  # 53: of disk, memory, connections
    asyncpg.OperatorInterventionError,  # 57: a shutdown, a start, a canceled query
    asyncpg.PostgresSystemError,  # 58: its disk
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TransactionTimeoutError,
    asyncpg.LockNotAvailableError,
    asyncpg.InvalidCachedStatementError,  # in a transaction, where a table was just swapped
)


async def open_pool(
    database_url: str,
    *,
    size: int,
    application: str,
    search_path: str | None = None,
    role: str | None = None,
    connection_class: "type[asyncpg.Connection[asyncpg.Record]] | None" = None,
) -> Pool:
    """A pool whose every wait is bounded; connects lazily, so that a start without Postgres works.

    `search_path` is the schema of what statements name without one; `role` the one that is taken
    on, of which the login must be a member. Raises DependencyUnavailable.
    """
    with_settings = {
        "application_name": application,
        "lock_timeout": "2s",
        "idle_in_transaction_session_timeout": "30s",
        "tcp_keepalives_idle": "10",
        "jit": "off",
        **({"search_path": search_path} if search_path else {}),
        **({"role": role} if role else {}),
    }
    async with database_faults():
        return await asyncpg.create_pool(
            database_url,
            min_size=0,
            max_size=size,
            timeout=CONNECT_TIMEOUT,
            command_timeout=COMMAND_TIMEOUT,
            max_inactive_connection_lifetime=300,
            server_settings=with_settings,
            reset=_keep_session,
            connection_class=connection_class or asyncpg.Connection,
        )


async def _keep_session(_: object) -> None:
    """In place of four statements after every use: nothing here changes a session."""


@asynccontextmanager
async def acquire(pool: Pool) -> AsyncIterator[Connection]:
    """A connection, or DependencyUnavailable; faults inside the block are translated too."""
    async with database_faults(), pool.acquire(timeout=ACQUIRE_TIMEOUT) as connection:
        yield connection  # type: ignore[misc]


@asynccontextmanager
async def database_faults() -> AsyncIterator[None]:
    """Raises DependencyUnavailable for whatever means that Postgres can't do it just now."""
    try:
        yield
    except _UNAVAILABLE as fault:
        raise DependencyUnavailable("postgres", f"{type(fault).__name__}: {fault}") from fault
