"""Whatever Postgres says that a moment may change is no fault of ours, and of no request's."""

import asyncpg
import pytest

from services.core.errors import DependencyUnavailable
from services.core.postgres import database_faults

# https://www.postgresql.org/docs/current/errcodes-appendix.html
PASSING_CLASSES = ("08", "40", "53", "57", "58")
PASSING_STATES = {
    "25006": "read-only: it is a standby now",
    "25P03": "idle in transaction",
    "25P04": "the transaction took too long",
    "55P03": "a lock",
}


def all_below(error: type[Exception]) -> set[type[Exception]]:
    below = set(error.__subclasses__())
    return below.union(*(all_below(each) for each in below))


ERRORS = sorted(
    (error for error in all_below(asyncpg.PostgresError) if getattr(error, "sqlstate", None)),
    key=lambda error: (str(error.sqlstate), error.__name__),  # type: ignore[attr-defined]
)


def is_passing(error: type[Exception]) -> bool:
    state = str(error.sqlstate)  # type: ignore[attr-defined]
    in_class = state.startswith(PASSING_CLASSES)
    return in_class or state in PASSING_STATES or error is asyncpg.InvalidCachedStatementError


def test_all_errors_are_looked_at() -> None:
    assert len(ERRORS) > 200
    assert {asyncpg.OutOfMemoryError, asyncpg.PostgresIOError} < set(ERRORS)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
async def test_an_error_is_translated_exactly_when_it_may_pass(error: type[Exception]) -> None:
    wanted = DependencyUnavailable if is_passing(error) else error
    with pytest.raises(wanted) as caught:
        async with database_faults():
            raise error("it says")
    assert type(caught.value) is wanted


@pytest.mark.parametrize(
    "error",
    [
        OSError,
        TimeoutError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
    ],
)
async def test_a_connection_that_breaks_is_translated(error: type[Exception]) -> None:
    with pytest.raises(DependencyUnavailable):
        async with database_faults():
            raise error("it says")
