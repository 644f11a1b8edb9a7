"""Relays that lose, double, disorder or change what they move."""

import asyncio
import os
from typing import Any

from services.core.failpoints import fail_point
from tests.faults.mutants.parts import CHANCE, module


def relay_skips_the_cursor() -> None:
    """A new leader publishes again what the last one had published and not yet deleted."""
    relay = module("services.core.eventlog.relay")

    async def recover(*_: object) -> None:
        return

    relay.ShardRelay._recover = recover


def relay_resumes_by_id() -> None:
    """Rows that commit after ones with larger ids are skipped."""
    relay = module("services.core.eventlog.relay")
    read = relay.ShardRelay._read
    largest = 0

    async def read_larger(self: Any, connection: Any) -> list[Any]:
        nonlocal largest
        rows = [row for row in await read(self, connection) if row["outbox_id"] > largest]
        largest = max([largest, *(row["outbox_id"] for row in rows)])
        return rows

    relay.ShardRelay._read = read_larger


def relay_deletes_before_it_publishes() -> None:
    """What a killed leader had not published yet is lost."""
    relay = module("services.core.eventlog.relay")
    publish = relay.ShardRelay._publish

    async def delete_and_publish(self: Any, connection: Any, producer: Any, rows: Any) -> None:
        cursor = relay.Cursor(
            tuple(row["outbox_id"] for row in rows), tuple(row["event_id"] for row in rows)
        )
        await relay._delete(connection, cursor)
        fail_point("mutant.between")
        await publish(self, connection, producer, rows)

    relay.ShardRelay._publish = delete_and_publish


def relay_mangles_rows() -> None:
    """A header is not the one that was committed."""
    relay = module("services.core.eventlog.relay")
    read = relay.ShardRelay._read

    async def read_mangled(self: Any, connection: Any) -> list[Any]:
        rows = await read(self, connection)
        return [{**row, "headers": row["headers"].replace('-01"', '-00"')} for row in rows]

    relay.ShardRelay._read = read_mangled


def relay_reverses_rows() -> None:
    """What is read together is published the other way round."""
    relay = module("services.core.eventlog.relay")
    read = relay.ShardRelay._read

    async def read_reversed(self: Any, connection: Any) -> list[Any]:
        rows = await read(self, connection)
        return [*reversed(rows)]

    relay.ShardRelay._read = read_reversed


def relay_drops_some_rows() -> None:
    """Some are deleted and were never sent."""
    relay = module("services.core.eventlog.relay")
    send_all = relay.ShardRelay._send_all

    async def send_most(self: Any, producer: Any, rows: Any, cursor: Any) -> None:
        await send_all(self, producer, [row for row in rows if CHANCE.random() > 0.05], cursor)

    relay.ShardRelay._send_all = send_most


def relay_commits_without_looking() -> None:
    """A record that the broker refused is taken for sent."""

    class Blind:
        """Everything of asyncio, but nobody learns what has failed."""

        def __getattr__(self, name: str) -> Any:
            return getattr(asyncio, name)

        async def gather(self, *sent: Any, return_exceptions: bool = False) -> list[Any]:
            results = await asyncio.gather(*sent, return_exceptions=return_exceptions)
            return [] if return_exceptions else results

    module("services.core.eventlog.relay").asyncio = Blind()


def relay_is_not_fenced() -> None:
    """A leader that was stopped publishes beside its successor when it goes on."""
    relay = module("services.core.eventlog.relay")
    transactional_id = relay.transactional_id

    def of_this_process(*place: Any) -> str:
        return f"{transactional_id(*place)}-{os.getpid()}"

    take_lock = relay.ShardRelay._take_lock

    async def take_for_a_moment(self: Any, term: Any) -> Any:
        self.idle_limit = "1s"
        return await take_lock(self, term)

    relay.transactional_id = of_this_process
    relay.ShardRelay._take_lock = take_for_a_moment


RELAYS = (
    relay_skips_the_cursor,
    relay_resumes_by_id,
    relay_deletes_before_it_publishes,
    relay_mangles_rows,
    relay_reverses_rows,
    relay_drops_some_rows,
    relay_commits_without_looking,
    relay_is_not_fenced,
)
