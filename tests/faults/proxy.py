"""A TCP proxy between two parts, which can delay, cut, swallow or drip what passes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from deploy.local.ports import LOOPBACK

CHUNK = 64 * 1024


class Trouble(StrEnum):
    """What is done to bytes, in the direction that it is done in; `there` is towards the server."""

    NONE = "none"
    REFUSED = "refused"
    CUT = "cut"
    SWALLOWED = "swallowed"
    SWALLOWED_THERE = "swallowed there"
    SWALLOWED_BACK = "swallowed back"
    DELAYED = "delayed"
    DRIPPING = "dripping"

    def swallows(self, towards_server: bool) -> bool:
        one_way = Trouble.SWALLOWED_THERE if towards_server else Trouble.SWALLOWED_BACK
        return self in (Trouble.SWALLOWED, one_way)


SomeProxy = TypeVar("SomeProxy", bound="Proxy")

DELAY = 0.3
DRIP_BYTES = 256
DRIP_PAUSE = 0.01


class Link:
    """One connection through a proxy."""

    def see(self, content: bytes, towards_server: bool) -> None:
        """Before it passes. Raises ConnectionAbortedError when it must not, to cut both ends."""


@dataclass
class Proxy:
    """Passes connections to `target_port`; `trouble` may change at any time.

    Bytes that were swallowed are gone, so their connections are cut when the trouble ends, as a
    network that comes back does with connections that it has forgotten.
    """

    target_port: int
    port: int = 0
    trouble: Trouble = Trouble.NONE
    _links: set[asyncio.Task[None]] = field(default_factory=set)

    async def make(self, trouble: Trouble) -> None:
        """From now on; `CUT` and `REFUSED` end what is open, `NONE` what was tampered with."""
        had_lost_bytes = self.trouble.swallows(True) or self.trouble.swallows(False)
        self.trouble = trouble
        if trouble in (Trouble.CUT, Trouble.REFUSED) or had_lost_bytes:
            await self._cut_all()

    async def _cut_all(self) -> None:
        links = list(self._links)
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.current_task()
        assert link is not None
        self._links.add(link)
        try:
            if self.trouble is not Trouble.REFUSED:
                await self._connect(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._links.discard(link)
            writer.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(LOOPBACK, self.target_port)
        link = self._link()
        pumps = {
            asyncio.create_task(self._pump(reader, server_writer, link, towards_server=True)),
            asyncio.create_task(self._pump(server_reader, writer, link, towards_server=False)),
        }
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            server_writer.transport.abort()  # first: a second cancel may end what follows
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    def _link(self) -> Link:
        """What looks at the bytes of a new connection."""
        return Link()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        link: Link,
        *,
        towards_server: bool,
    ) -> None:
        while content := await reader.read(CHUNK):
            link.see(content, towards_server)
            if self.trouble.swallows(towards_server):
                continue
            if self.trouble is Trouble.DELAYED:
                await asyncio.sleep(DELAY)
            if self.trouble is Trouble.DRIPPING:
                await self._drip(content, writer)
            else:
                writer.write(content)
                await writer.drain()

    async def _drip(self, content: bytes, writer: asyncio.StreamWriter) -> None:
        for start in range(0, len(content), DRIP_BYTES):
            writer.write(content[start : start + DRIP_BYTES])
            await writer.drain()
            await asyncio.sleep(DRIP_PAUSE if self.trouble is Trouble.DRIPPING else 0)


@asynccontextmanager
async def proxy_to(target_port: int, port: int = 0) -> AsyncIterator[Proxy]:
    """A proxy that listens on `port`, any free one when 0."""
    async with listening(Proxy(target_port), port) as proxy:
        yield proxy


@asynccontextmanager
async def listening(proxy: SomeProxy, port: int = 0) -> AsyncIterator[SomeProxy]:
    server = await asyncio.start_server(proxy._accept, LOOPBACK, port)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.trouble = Trouble.REFUSED  # also for whom the server has just taken
        await proxy._cut_all()
        with suppress(TimeoutError):
            async with asyncio.timeout(5):
                await server.wait_closed()
