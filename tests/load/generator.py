"""Clients in a process of their own, that send without mercy and note every answer.

`python -m tests.load.generator` takes an `Offer` as JSON from stdin and gives an `Outcome` as JSON.
An offer with a rate is an open loop: a request is due when it is due, however long others take, and
its latency counts from then. One without is a closed loop of `connections`.
"""

import asyncio
import base64
import sys
from collections import Counter, deque
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import cast

import orjson
import uvloop

from schemas.ids import Prefix, UlidSource
from tests.bench.http_load import get, post

TICK = 0.005
ANSWERED_WITHIN = 30.0
"""Seconds after the last request was sent."""
IDS = UlidSource()


@dataclass(frozen=True)
class Offer:
    """`body` is base64 of what is POSTed, each time with another key; None: a GET.

    `pause` is the seconds between an answer and the next request in a closed loop.
    """

    host: str
    port: int
    path: str
    api_key: str
    body: str | None
    connections: int
    seconds: float
    rate: float | None = None
    pause: float = 0.0

    def request(self) -> bytes:
        headers = {"X-Api-Key": self.api_key}
        if self.body is None:
            return get(self.path, headers)
        headers |= {"Content-Type": "application/json"}
        headers |= {"Idempotency-Key": IDS.new(Prefix.REQUEST)}
        return post(self.path, headers, base64.b64decode(self.body))


@dataclass
class Outcome:
    """What became of the requests: by status, their latencies in seconds, the jobs of the 202s.

    `unsent` were due while every connection waited for an answer; `hurried` are 503s without
    `Retry-After`; `unanswered` were sent and not answered.
    """

    statuses: dict[str, int] = field(default_factory=dict)
    latencies: dict[str, list[float]] = field(default_factory=dict)
    jobs: list[str] = field(default_factory=list)
    unsent: int = 0
    hurried: int = 0
    unanswered: int = 0
    took: float = 0.0

    @property
    def accepted(self) -> int:
        """The status of those that were done."""
        return 202 if "202" in self.statuses else 200

    def of(self, status: int) -> int:
        return self.statuses.get(str(status), 0)

    def rate(self, status: int) -> float:
        return self.of(status) / self.took

    def quantile(self, status: int, part: float) -> float:
        latencies = sorted(self.latencies[str(status)])
        return latencies[int(len(latencies) * part)]


class Connection(asyncio.Protocol):
    """One request after another."""

    def __init__(self, clients: "Clients") -> None:
        self._clients = clients
        self._buffer = b""
        self.due = 0.0
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one by its methods only

    def send(self, request: bytes, due: float) -> None:
        self.due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if separator and len(rest) >= _length(head):
            self._buffer = b""
            self._clients.answered(self, head, rest)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self._clients.lost(self)

    def close(self) -> None:
        self._transport.abort()


class Clients:
    def __init__(self, offer: Offer) -> None:
        self._offer = offer
        self._loop = asyncio.get_running_loop()
        self._idle: deque[Connection] = deque()
        self._waiting: set[Connection] = set()
        self._statuses: Counter[int] = Counter()
        self._outcome = Outcome()
        self._answered = asyncio.Event()
        self.begun = asyncio.Event()
        self._until = 0.0

    async def run(self) -> Outcome:
        connections = [await self._connected() for _ in range(self._offer.connections)]
        self._idle.extend(connections)
        started = self._loop.time()
        self._until = started + self._offer.seconds
        if self._offer.rate is None:
            await self._closed_loop()
        else:
            await self._open_loop(self._offer.rate, started)
        self._outcome.took = self._loop.time() - started
        await self._all_answered()
        for connection in connections:
            connection.close()
        self._outcome.unanswered += len(self._waiting)
        self._outcome.statuses = {str(status): count for status, count in self._statuses.items()}
        return self._outcome

    async def _connected(self) -> Connection:
        offer = self._offer
        _, connection = await self._loop.create_connection(
            lambda: Connection(self), offer.host, offer.port
        )
        return connection

    async def _closed_loop(self) -> None:
        while self._idle:
            self._send(self._loop.time())
        await asyncio.sleep(self._until - self._loop.time())

    async def _open_loop(self, rate: float, started: float) -> None:
        sent = 0
        while (now := self._loop.time()) < self._until:
            for number in range(sent, int((now - started) * rate)):
                if self._idle:
                    self._send(started + number / rate)
                else:
                    self._outcome.unsent += 1
                sent = number + 1
            await asyncio.sleep(TICK)

    def _send(self, due: float) -> None:
        connection = self._idle.popleft()
        if connection.is_lost:
            return
        self._waiting.add(connection)
        connection.send(self._offer.request(), due)

    async def _all_answered(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWERED_WITHIN):
                while self._waiting:
                    self._answered.clear()
                    await self._answered.wait()

    def answered(self, connection: Connection, head: bytes, body: bytes) -> None:
        status, now = int(head[9:12]), self._loop.time()
        self._statuses[status] += 1
        if self._statuses.total() == self._offer.connections:
            self.begun.set()
        self._outcome.latencies.setdefault(str(status), []).append(now - connection.due)
        if status == 202:
            self._outcome.jobs.append(orjson.loads(body)["jobId"])
        elif status == 503 and b"\r\nretry-after: " not in head.lower():
            self._outcome.hurried += 1
        self._waiting.discard(connection)
        self._answered.set()
        self._idle.append(connection)
        if self._offer.rate is None:
            self._loop.call_later(self._offer.pause, self._next)

    def _next(self) -> None:
        if self._idle and self._loop.time() < self._until:
            self._send(self._loop.time())

    def lost(self, connection: Connection) -> None:
        if connection in self._waiting:
            self._waiting.discard(connection)
            self._answered.set()
            self._outcome.unanswered += 1


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return int(line[15:])
    return 0


async def offered(offer: Offer, begun: asyncio.Event | None = None) -> Outcome:
    """What became of `offer`, made by a process of its own; `begun` is set once it has had as many
    answers as it has connections."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.load.generator",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin
    assert process.stdout
    process.stdin.write(orjson.dumps(asdict(offer)))
    process.stdin.write_eof()
    async with asyncio.timeout(offer.seconds + 2 * ANSWERED_WITHIN):
        await process.stdout.readline()
        if begun:
            begun.set()
        told = await process.stdout.read()
        assert await process.wait() == 0
    return Outcome(**orjson.loads(told))


async def _main() -> None:
    """One line when all is under way, then the outcome."""
    clients = Clients(Offer(**orjson.loads(sys.stdin.read())))
    running = asyncio.create_task(clients.run())
    begun = asyncio.create_task(clients.begun.wait())
    await asyncio.wait({running, begun}, return_when=asyncio.FIRST_COMPLETED)
    sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()
    sys.stdout.buffer.write(orjson.dumps(asdict(await running)))
    begun.cancel()


if __name__ == "__main__":
    uvloop.run(_main())
