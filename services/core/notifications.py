"""Postgres notifications as hints: who hears one looks sooner, who misses one looks anyway."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple

import asyncpg
import orjson
import structlog

from services.core.errors import DependencyUnavailable
from services.core.postgres import CONNECT_TIMEOUT, Connection, Pool, acquire

log = structlog.get_logger(__name__)

OUTBOX_CHANNEL = "outbox"
READ_MODEL_CHANNEL = "read_model"

HEARTBEAT = 5.0
RECONNECT_DELAY = 0.5
LONGEST_PAYLOAD = 7_999
"""Bytes that Postgres takes."""


class Notification(NamedTuple):
    """`sender` is who sent it, by which a listener knows its own; "" for none in particular.

    `names` are the ids of what it is about, by organization; None: it may be about anything.
    """

    sender: str
    names: Mapping[str, Iterable[str]] | None

    @classmethod
    def read(cls, payload: str) -> "Notification":
        sender, _, names = payload.partition(" ")
        return cls(sender, orjson.loads(names) if names else None)

    @property
    def payload(self) -> str:
        """Without the names where they are too many."""
        if self.names is None:
            return self.sender
        names = orjson.dumps({owner: list(ids) for owner, ids in self.names.items()})
        is_short = len(self.sender) + 1 + len(names) <= LONGEST_PAYLOAD
        return f"{self.sender} {names.decode()}" if is_short else self.sender


class Notifier:
    """Sends NOTIFY after commits, at most one in flight: its commit lock throttles writers.

    `rest` is how many seconds pass between two.
    """

    def __init__(self, pool: Pool, channel: str, *, sender: str = "", rest: float = 0.0) -> None:
        self._pool = pool
        self._channel = channel
        self._sender = sender
        self._rest = rest
        self._wanted = asyncio.Event()
        self._names: dict[str, set[str]] | None = {}

    def notify(self, keys: Iterable[str] | None = None) -> None:
        """`keys` are `<organization>/<id>`; without them it is about anything."""
        if keys is None:
            self._names = None
        elif self._names is not None:
            for key in keys:
                owner, _, identifier = key.partition("/")
                self._names.setdefault(owner, set()).add(identifier)
        self._wanted.set()

    async def run(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            payload = Notification(self._sender, self._names).payload
            self._names = {}
            with suppress(DependencyUnavailable):
                async with acquire(self._pool) as connection:
                    await connection.execute("select pg_notify($1, $2)", self._channel, payload)
            await asyncio.sleep(self._rest)


async def listen(database_url: str, heard: Mapping[str, Callable[[str], None]]) -> None:
    """Calls, for each channel, with the payload of every notification, for ever.

    It has a connection of its own, and calls all with "" whenever that is made anew: what happened
    before may have been missed.
    """
    while True:
        try:
            await _listen_once(database_url, heard)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as fault:
            log.info("listener_reconnects", channels=list(heard), fault=str(fault))
        await asyncio.sleep(RECONNECT_DELAY)


async def _listen_once(database_url: str, heard: Mapping[str, Callable[[str], None]]) -> None:
    connection: Connection = await asyncpg.connect(
        database_url, timeout=CONNECT_TIMEOUT, command_timeout=CONNECT_TIMEOUT
    )
    ended = asyncio.Event()
    try:
        connection.add_termination_listener(lambda _: ended.set())
        for channel in heard:
            await connection.add_listener(channel, lambda _, __, on, said: heard[on](str(said)))
        for call in heard.values():
            call("")
        while not ended.is_set():
            with suppress(TimeoutError):
                # Not wait_for: until Python 3.12 it may swallow a cancellation.
                async with asyncio.timeout(HEARTBEAT):
                    await ended.wait()
                return
            await connection.execute("select 1")
    finally:
        connection.terminate()
