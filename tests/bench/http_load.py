"""A closed loop of keep-alive connections, so thin that the server is what is measured."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """Requests a second, and latencies in seconds."""

    rate: float
    p50: float
    p99: float
    requests: int


async def measure(
    host: str,
    port: int,
    request: Callable[[], bytes],
    *,
    connections: int,
    seconds: float,
    expected: bytes,
) -> Measured:
    """Sends `request()` again and again; every answer must begin with `expected`."""
    latencies: list[float] = []
    loop = asyncio.get_running_loop()
    started = loop.time()
    until = started + seconds

    async def one() -> None:
        reader, writer = await asyncio.open_connection(host, port)
        while loop.time() < until:
            sent = loop.time()
            writer.write(request())
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(expected):
                raise AssertionError(head)
            await reader.readexactly(_content_length(head))
            latencies.append(loop.time() - sent)
        writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    took = loop.time() - started
    latencies.sort()
    count = len(latencies)
    return Measured(count / took, latencies[count // 2], latencies[int(count * 0.99)], count)


def _content_length(head: bytes) -> int:
    start = head.lower().index(b"content-length:") + len(b"content-length:")
    return int(head[start : head.index(b"\r\n", start)])


def post(path: str, headers: dict[str, str], body: bytes) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: bench", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def get(path: str, headers: dict[str, str]) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: bench"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()
