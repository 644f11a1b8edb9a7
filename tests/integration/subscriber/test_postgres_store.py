"""Which of the server's refusals hold everything up, and which are an event's own."""

import asyncpg
import pytest

from services.core.postgres import Pool
from services.core.subscriber import StoreUnavailable
from services.core.subscriber.postgres_store import PostgresStore

SAID_OF_ANY_STATEMENT = [
    asyncpg.DeadlockDetectedError,
    asyncpg.DiskFullError,
    asyncpg.LockNotAvailableError,
    asyncpg.OutOfMemoryError,
    asyncpg.SerializationError,
]


@pytest.fixture
async def store(pool: Pool) -> PostgresStore:
    made = PostgresStore(pool)
    await made.create_tables()
    return made


@pytest.mark.parametrize("fault", SAID_OF_ANY_STATEMENT)
async def test_what_only_time_helps_is_no_fault_of_the_event(
    store: PostgresStore, fault: type[asyncpg.PostgresError]
) -> None:
    async with store.transaction("notes") as transaction:
        with pytest.raises(StoreUnavailable, match="not now"):
            async with transaction.savepoint():
                raise fault("not now")


async def test_what_a_statement_alone_brings_on_is_the_events(store: PostgresStore) -> None:
    async with store.transaction("notes") as transaction:
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with transaction.savepoint():
                await transaction.effects.execute("select 1 / 0")
