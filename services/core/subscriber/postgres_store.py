"""A store in a Postgres database of the subscriber's own; the only module that needs asyncpg.

Handlers get the connection inside the transaction that also moves the positions, so what they
write there happens exactly once.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeAlias

import asyncpg

from .faults import StoreUnavailable
from .sql import TABLES, SqlTransaction

ACQUIRE_TIMEOUT = 5.0

# In quotes: generic in its stubs only.
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_UNAVAILABLE = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what asyncpg says of a connection that was cut under its hands
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.TooManyConnectionsError,
    asyncpg.DiskFullError,
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
)
_NO_FAULT_OF_THE_EVENT = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
    asyncpg.InsufficientResourcesError,  # its disk is full, say
)
"""What the server may say of any statement: no number of attempts helps, only time."""


class PostgresStore:
    """The tables are those of `sql.TABLES`, in the first schema of the connection's search path:
    `create_tables` makes them, or a migration of yours."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def create_tables(self) -> None:
        """Makes the tables that are missing. Raises StoreUnavailable."""
        with _faults():
            async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT) as connection:
                await connection.execute(TABLES)

    @asynccontextmanager
    async def transaction(self, subscription: str) -> AsyncIterator["PostgresTransaction"]:
        with _faults():
            connection = await self._pool.acquire(timeout=ACQUIRE_TIMEOUT)
        try:
            async with _transaction(connection):
                yield PostgresTransaction(subscription, connection)
        finally:
            with _faults():
                await self._pool.release(connection)


class PostgresTransaction(SqlTransaction):
    def __init__(self, subscription: str, connection: Any) -> None:
        super().__init__(subscription, _PostgresDriver(connection))
        self.effects: Connection = connection

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        try:
            async with self.effects.transaction():
                yield
        except Exception as fault:
            # A handler's own time-outs and connections are its own affair.
            if _is_lost(self.effects) or isinstance(fault, _NO_FAULT_OF_THE_EVENT):
                raise StoreUnavailable(f"{type(fault).__name__}: {fault}") from fault
            raise


class _PostgresDriver:
    lock = "for update"

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def execute_many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        with _faults():
            await self._connection.executemany(statement, rows)

    async def fetch(self, statement: str, arguments: Sequence[Any]) -> Sequence[Any]:
        with _faults():
            return await self._connection.fetch(statement, *arguments)


@asynccontextmanager
async def _transaction(connection: Any) -> AsyncIterator[None]:
    """Like asyncpg's own, but only its statements' faults are translated, not the block's."""
    transaction = connection.transaction()
    with _faults():
        await transaction.start()
    try:
        yield
    except BaseException:
        if not _is_lost(connection):
            with _faults():
                await transaction.rollback()
        raise
    with _faults():
        await transaction.commit()


def _is_lost(connection: Any) -> bool:
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:  # its pool has taken it back already
        return True


@contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except _UNAVAILABLE as fault:
        raise StoreUnavailable(f"{type(fault).__name__}: {fault}") from fault
