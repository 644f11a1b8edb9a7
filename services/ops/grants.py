"""The database roles of the services and the walls between organizations: plain SQL, said anew."""

from importlib.resources import files

import asyncpg

from services.ops.connections import database
from services.ops.faults import CommandFault

STATEMENTS = files(__package__).joinpath("grants.sql").read_text()
# Two at once would meet in the catalog's rows.
LOCK = "select pg_advisory_xact_lock(7, 3)"
# A policy is put on in a moment, but waits for whoever uses the table, and all others behind it.
LOCK_TIMEOUT = "set local lock_timeout = '3s'"


async def grant(database_url: str) -> None:
    """All of it or nothing. Raises DependencyUnavailable, NotMigrated and CommandFault."""
    async with database(database_url) as connection, connection.transaction():
        await connection.execute(LOCK)
        await connection.execute(LOCK_TIMEOUT)
        try:
            await connection.execute(STATEMENTS)
        except asyncpg.InsufficientPrivilegeError as fault:
            raise CommandFault(
                f"{fault}: it takes the owner of the tables, with the right to create roles"
            ) from fault
