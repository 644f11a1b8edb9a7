"""API4: clients that send or read slowly, or that are many, cost nobody else anything."""

import asyncio
import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import monotonic

import aiohttp
import psutil
import pytest
from prometheus_client import REGISTRY

from tests.integration.api.calling import Caller
from tests.integration.api.serving import HOST, Service
from tests.integration.api.test_process import environment, process, readiness
from tests.waiting import eventually

WITHIN = 10.0
HALF_A_HEAD = b"GET /v1/whoami HTTP/1.1\r\nHost: a\r\nX-Slow: "
WHOLE = b"GET /v1/whoami HTTP/1.1\r\nHost: a\r\n\r\n"
LARGE = 20 * 2**20
CONNECTIONS = 10_000
OTHERS = "127.0.0.2"
"""Where the many come from, so that they take nobody else's ports."""
MOST_FOR_A_CONNECTION = 64 * 1024


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.core.http_server.HEAD_TIMEOUT", 0.3)


async def read_all(reader: asyncio.StreamReader) -> bytes:
    """What comes until the connection is closed, in whichever way."""
    received = bytearray()
    async with asyncio.timeout(WITHIN):
        while True:
            try:
                chunk = await reader.read(2**16)
            except ConnectionError:
                return bytes(received)
            if not chunk:
                return bytes(received)
            received += chunk


@pytest.mark.parametrize("sent", [b"", b"G", HALF_A_HEAD])
@pytest.mark.usefixtures("hurried")
async def test_a_head_that_stalls_is_cut_off(service: Service, sent: bytes) -> None:
    reader, writer = await asyncio.open_connection(HOST, service.port)
    writer.write(sent)
    assert await read_all(reader) == b""
    writer.close()


@pytest.mark.usefixtures("hurried")
async def test_a_head_that_trickles_is_cut_off(service: Service) -> None:
    reader, writer = await asyncio.open_connection(HOST, service.port)
    writer.write(HALF_A_HEAD)
    received = asyncio.create_task(read_all(reader))

    async def cut_off() -> bool:
        if not writer.is_closing():
            writer.write(b"x")
        return received.done()

    await eventually("the server has had enough", cut_off, within=WITHIN)
    writer.close()
    assert received.result() == b""


@pytest.mark.usefixtures("hurried")
async def test_the_second_head_of_a_connection_has_no_more_time(service: Service) -> None:
    reader, writer = await asyncio.open_connection(HOST, service.port)
    writer.write(WHOLE)
    async with asyncio.timeout(WITHIN):
        first = await reader.readuntil(b"}}")
        writer.write(HALF_A_HEAD)
        assert first.startswith(b"HTTP/1.1 401")
        assert await read_all(reader) == b""
    writer.close()


@pytest.mark.usefixtures("hurried")
async def test_who_has_asked_once_may_keep_the_connection(service: Service) -> None:
    reader, writer = await asyncio.open_connection(HOST, service.port)
    async with asyncio.timeout(WITHIN):
        for _ in range(2):
            writer.write(WHOLE)
            assert (await reader.readuntil(b"}}")).startswith(b"HTTP/1.1 401")
            with pytest.raises(TimeoutError):  # longer than a head may take
                async with asyncio.timeout(0.6):
                    await reader.read(1)
    writer.close()


@asynccontextmanager
async def asking_for_20_mib(
    caller: Caller, service: Service
) -> AsyncIterator[asyncio.StreamReader]:
    """A client that has asked for a large film, and for which the system keeps little of it."""
    key = f"{caller.organization_id}/large.mp4"
    await service.store.put(key, bytes(LARGE), "video/mp4")
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**18)
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, (HOST, service.port))
        reader, writer = await asyncio.open_connection(sock=client)
        request = f"GET /media/{key} HTTP/1.1\r\nHost: a\r\nX-Api-Key: {caller.key}\r\n\r\n"
        writer.write(request.encode())
        yield reader
        writer.close()


async def test_who_does_not_read_an_answer_is_cut_off(
    caller: Caller, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.core.http_server.SLOW_READER_CHECKED", 0.2)
    before = cut_off("slow reader")
    async with asking_for_20_mib(caller, service) as reader:

        async def noticed() -> bool:
            return cut_off("slow reader") > before

        await eventually("it is cut off", noticed, within=WITHIN)
        assert len(await read_all(reader)) < LARGE


async def test_who_reads_steadily_gets_all_of_it(
    caller: Caller, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.core.http_server.SLOW_READER_CHECKED", 0.2)
    size = 0
    async with asyncio.timeout(30), asking_for_20_mib(caller, service) as reader:
        while size < LARGE:
            size += len(await reader.read(2**18))
            await asyncio.sleep(0.005)  # a line of some MB/s, far above the slowest


async def test_more_connections_than_may_be_are_closed_at_once(
    caller: Caller, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.core.http_server.MAXIMUM_CONNECTIONS", 0)
    reader, writer = await asyncio.open_connection(HOST, service.port)
    writer.write(WHOLE)
    assert await read_all(reader) == b""
    writer.close()
    monkeypatch.undo()
    assert (await caller.get("/v1/whoami")).status == 200


def cut_off(reason: str) -> float:
    return REGISTRY.get_sample_value("http_connections_cut_off_total", {"reason": reason}) or 0.0


class Crowd:
    """Clients that open a connection, send half a head and nothing more."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []
        self._waiting: list[asyncio.Task[None]] = []
        self._ended = 0

    async def come(self, count: int) -> None:
        for begun in range(0, count, 200):
            await asyncio.gather(*(self._one() for _ in range(min(200, count - begun))))

    async def _one(self) -> None:
        reader, writer = await asyncio.open_connection(HOST, self._port, local_addr=(OTHERS, 0))
        writer.write(HALF_A_HEAD)
        self._writers.append(writer)
        self._waiting.append(asyncio.create_task(self._wait(reader)))

    async def _wait(self, reader: asyncio.StreamReader) -> None:
        with suppress(ConnectionError):
            await reader.read()
        self._ended += 1

    @property
    def staying(self) -> int:
        return len(self._writers) - self._ended

    def leave(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


@pytest.fixture
async def served(
    shared_database_url: str, tmp_path: Path, http: aiohttp.ClientSession
) -> AsyncIterator[tuple[int, psutil.Process]]:
    """The port and the process of an api of its own."""
    variables = environment(shared_database_url, tmp_path / "media")
    async with process(variables) as running:
        operations = variables["API_OPERATIONS_PORT"]
        await eventually("it is ready", lambda: readiness(http, operations))
        yield int(variables["API_PORT"]), psutil.Process(running.pid)


async def answered(caller: Caller) -> float:
    """Seconds until a request of somebody else's is answered."""
    begun = monotonic()
    assert (await caller.get("/v1/whoami")).status == 200
    return monotonic() - begun


async def while_running(task: "asyncio.Task[None]", ask: Callable[[], Awaitable[float]]) -> float:
    """The longest that `ask` took until `task` was done."""
    longest = await ask()
    while not task.done():
        longest = max(longest, await ask())
    await task
    return longest


async def test_ten_thousand_slow_clients_keep_nobody_from_being_answered(
    caller: Caller, served: tuple[int, psutil.Process]
) -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most < CONNECTIONS + 2_000:
        pytest.skip(f"this machine lets a process have {most} files only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    port, api = served
    somebody = Caller(
        caller.http,
        f"http://{HOST}:{port}",
        caller.organization_id,
        caller.project_id,
        caller.key,
        caller.key_id,
    )
    await answered(somebody)
    before = api.memory_info().rss
    crowd = Crowd(port)
    try:
        coming = asyncio.create_task(crowd.come(CONNECTIONS))
        longest = await while_running(coming, lambda: answered(somebody))
        assert api.memory_info().rss - before < CONNECTIONS * MOST_FOR_A_CONNECTION

        async def all_gone() -> bool:
            return crowd.staying == 0

        await eventually("every one of them is cut off", all_gone, within=60)
        longest = max(longest, await answered(somebody))
    finally:
        crowd.leave()
    assert longest < 5.0
