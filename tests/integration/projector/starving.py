"""A proxy before Kafka that can starve connections: all is answered, but no records ever come."""

import asyncio
import struct
from dataclasses import dataclass

from tests.faults.proxy import Link, Proxy

FETCH = 1
HEADER = struct.Struct(">hhi")
# Of a fetch request in versions 7 to 11: what stands before its topics; then there are none.
BEFORE_TOPICS = 25
NO_TOPICS = struct.pack(">iih", 0, 0, 0)


@dataclass
class StarvingProxy(Proxy):
    """`target_port` may be set once Kafka is there: the proxy's own must be advertised before."""

    starved_fetches: int = 0
    _generation: int = 0

    def starve(self) -> None:
        """From now on connections that are there get no records; new ones do."""
        self._generation += 1

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        link: Link,
        *,
        towards_server: bool,
    ) -> None:
        if not towards_server:
            return await super()._pump(reader, writer, link, towards_server=False)
        generation = self._generation
        while True:
            (size,) = struct.unpack(">i", await reader.readexactly(4))
            request = await reader.readexactly(size)
            if generation < self._generation:
                request = self._without_topics(request)
            writer.write(struct.pack(">i", len(request)) + request)
            await writer.drain()

    def _without_topics(self, request: bytes) -> bytes:
        key, version, _ = HEADER.unpack_from(request)
        if key != FETCH:
            return request
        assert 7 <= version <= 11, version
        self.starved_fetches += 1
        (client,) = struct.unpack_from(">h", request, HEADER.size)
        body = HEADER.size + 2 + max(0, client)
        rack = NO_TOPICS if version == 11 else NO_TOPICS[:8]
        return request[: body + BEFORE_TOPICS] + rack
