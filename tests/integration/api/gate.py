"""A door between the api and Postgres that a test can close, or make silent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

HOST = "127.0.0.1"


class Gate:
    """Passes bytes on while open; refuses connections while closed; swallows bytes in silence."""

    def __init__(self, database_url: str) -> None:
        self._parts = urlsplit(database_url)
        self._server: asyncio.Server | None = None
        self._port = 0
        self._passing = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def to(cls, database_url: str) -> AsyncIterator["Gate"]:
        gate = cls(database_url)
        await gate.open()
        try:
            yield gate
        finally:
            await gate.close()
            for pump in gate._pumps:
                pump.cancel()
            await asyncio.gather(*gate._pumps, return_exceptions=True)

    @property
    def database_url(self) -> str:
        """The database as it is reached through the gate."""
        login = self._parts.netloc.rpartition("@")[0]
        return urlunsplit(self._parts._replace(netloc=f"{login}@{HOST}:{self._port}"))

    async def open(self) -> None:
        self._passing.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._connected, HOST, self._port)
            self._port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()

    async def silence(self) -> None:
        self._passing.clear()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_database = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        if self._server is None:  # closed meanwhile
            writer.transport.abort()
            return to_database[1].transport.abort()
        for source, target in ((reader, to_database[1]), (to_database[0], writer)):
            self._writers.add(target)
            self._pumps.add(asyncio.create_task(self._pump(source, target)))

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while content := await source.read(65536):
                await self._passing.wait()
                target.write(content)
                await target.drain()
        target.close()
