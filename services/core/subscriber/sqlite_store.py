"""A store in one SQLite file, for simple services: effects in the same file happen exactly once."""

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from .faults import StoreUnavailable
from .sql import TABLES, SqlTransaction

LOCK_PAUSE = 0.02
LOCK_TIMEOUT = 10.0
_PARAMETER = re.compile(r"\$(\d+)")


class SqliteStore:
    """Handlers get the `sqlite3.Connection`, inside the transaction: they must not end it.

    Several processes of one machine may share the file; they take turns.
    """

    def __init__(self, path: str | Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None, timeout=0)
        self.connection.execute("pragma journal_mode = wal")
        self.connection.executescript(TABLES)
        self._lock = asyncio.Lock()

    def close(self) -> None:
        self.connection.close()

    @asynccontextmanager
    async def transaction(self, subscription: str) -> AsyncIterator["SqliteTransaction"]:
        async with self._lock:
            await self._begin()
            try:
                yield SqliteTransaction(subscription, self.connection)
                with _faults():
                    self.connection.execute("commit")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("rollback")
                raise

    async def _begin(self) -> None:
        """Waits without holding up the event loop, which SQLite's own waiting would do."""
        deadline = asyncio.get_running_loop().time() + LOCK_TIMEOUT
        while True:
            try:
                with _faults():
                    self.connection.execute("begin immediate")
                return
            except StoreUnavailable:
                if asyncio.get_running_loop().time() > deadline:
                    raise
            await asyncio.sleep(LOCK_PAUSE)


class SqliteTransaction(SqlTransaction):
    def __init__(self, subscription: str, connection: sqlite3.Connection) -> None:
        super().__init__(subscription, _SqliteDriver(connection))
        self.effects = connection

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        self.effects.execute("savepoint handler")
        try:
            yield
        except BaseException:
            self.effects.execute("rollback to handler")
            raise
        finally:
            self.effects.execute("release handler")


class _SqliteDriver:
    lock = ""  # the transaction holds the whole file

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def execute_many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        with _faults():
            self._connection.executemany(_named(statement), rows)

    async def fetch(self, statement: str, arguments: Sequence[Any]) -> Sequence[Any]:
        with _faults():
            cursor = self._connection.cursor()
            cursor.row_factory = None
            return cursor.execute(_named(statement), arguments).fetchall()


def _named(statement: str) -> str:
    return _PARAMETER.sub(r"?\1", statement)


@contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as fault:  # locked, full, unreadable
        raise StoreUnavailable(f"{type(fault).__name__}: {fault}") from fault
