"""A copy of every row that was ever committed to the outbox, kept by the test's own trigger."""

from services.core.postgres import Connection, Pool, acquire
from services.ops.checker.facts import Rows

# The relay deletes what it has published; what was committed is known here all the same.
KEEP_ROWS = """
create schema witness;
create table witness.outbox (like event_log.outbox);
create function witness.keep() returns trigger language plpgsql security definer as $$
begin
    insert into witness.outbox select new.*;
    return null;
end $$;
create trigger keep_for_the_verdict after insert on event_log.outbox
    for each row execute function witness.keep();
"""
READ_ROWS = "select event_id, topic, key, headers, value from witness.outbox order by outbox_id"


async def keep_outbox_rows(connection: Connection) -> None:
    """From now on."""
    await connection.execute(KEEP_ROWS)


async def read_outbox_rows(pool: Pool) -> Rows:
    async with acquire(pool) as connection:
        return [dict(row) for row in await connection.fetch(READ_ROWS)]
