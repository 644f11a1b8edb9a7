"""A proxy before Kafka that can starve connections: all is answered, but no records ever come."""

import asyncio
import struct
from contextlib import suppress
from types import TracebackType

FETCH = 1
HEADER = struct.Struct(">hhi")
# Of a fetch request in versions 7 to 11: what stands before its topics; then there are none.
BEFORE_TOPICS = 25
NO_TOPICS = struct.pack(">iih", 0, 0, 0)


class StarvingProxy:
    """`port` is there before Kafka is: it must be advertised."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.starved_fetches = 0
        self._kafka = 0
        self._server: asyncio.Server | None = None
        self._generation = 0

    async def __aenter__(self) -> "StarvingProxy":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server
        self._server.close()

    def lead_to(self, port: int) -> None:
        self._kafka = port

    def starve(self) -> None:
        """From now on connections that are there get no records; new ones do."""
        self._generation += 1

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        generation = self._generation
        there, back = await asyncio.open_connection("127.0.0.1", self._kafka)
        answers = asyncio.create_task(self._copy(there, writer))
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                (size,) = struct.unpack(">i", await reader.readexactly(4))
                request = await reader.readexactly(size)
                if generation < self._generation:
                    request = self._without_topics(request)
                back.write(struct.pack(">i", len(request)) + request)
                await back.drain()
        answers.cancel()
        back.close()
        writer.close()

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

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await source.read(65536):
                sink.write(chunk)
                await sink.drain()
            sink.close()
