"""What a rebuild notes down while it works, in a schema of its own that is dropped at its end."""

from services.core.postgres import Connection

SCRATCH = "read_model_rebuild"

CREATE = f"""
create schema {SCRATCH};

-- Rows whose sequences are not the same on both sides, as they were when last looked at.
create table {SCRATCH}.unsettled (
    model         text not null,
    key           text[] not null,
    live_sequence bigint not null,
    next_sequence bigint not null,
    waiting       boolean not null
);

create table {SCRATCH}.differences (
    model  text not null,
    key    text[] not null,
    what   text not null,
    fields text[] not null default '{{}}'
);

-- Keys of live rows that were written since the triggers are there, and of those that were ahead.
create table {SCRATCH}.touched (
    model text not null,
    key   text[] not null
);
"""


async def create_scratch(connection: Connection) -> None:
    async with connection.transaction():
        await connection.execute(f"drop schema if exists {SCRATCH} cascade")
        await connection.execute(CREATE)


async def drop_scratch(connection: Connection) -> None:
    await connection.execute(f"drop schema if exists {SCRATCH} cascade")
