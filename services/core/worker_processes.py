"""Worker processes of our own: one order at a time each, bounded in time and memory.

For work on bytes from strangers, which may hang, grow or crash, and for work that keeps the
interpreter's lock. A worker ends when its stdin does, so it never outlives its master.

An order is a length (4 bytes, big-endian) and as many bytes; an answer is a status (1 byte), a
length and as many bytes.
"""

import asyncio
import os
import signal
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO

_ORDER = struct.Struct(">I")
_ANSWER = struct.Struct(">cI")
_DONE, _REFUSED, _FAILED = b"D", b"R", b"F"


class WorkerFault(Exception):
    """An order without a result."""


class OrderRefused(WorkerFault):
    """The worker looked at the order and can't carry it out; it says why."""


class OrderFailed(WorkerFault):
    """The worker died or ran into a bug."""


class OrderTookTooLong(WorkerFault):
    """The worker was killed over it."""


class WorkerProcesses:
    """Up to `size` processes of `module`, started when first needed; a broken one is replaced.

    `module` runs `serve_orders`. `timeout` is in seconds and bounds one order, the wait for a free
    worker excluded.
    """

    def __init__(self, module: str, size: int, timeout: float) -> None:
        self._module = module
        self._size = size
        self._timeout = timeout
        self._free = asyncio.Semaphore(size)
        self._idle: list[asyncio.subprocess.Process] = []
        self._busy: set[asyncio.subprocess.Process] = set()
        self._closed = False

    async def start(self) -> None:
        """Starts every worker now, so that the first orders don't wait for it."""
        missing = self._size - len(self._idle) - len(self._busy)
        self._idle += await asyncio.gather(*(self._started() for _ in range(missing)))

    async def order(self, content: bytes) -> bytes:
        """The worker's result. Raises OrderRefused, OrderFailed, OrderTookTooLong."""
        async with self._free:
            if self._closed:
                raise OrderFailed("the workers are closed")
            worker = self._idle.pop() if self._idle else await self._started()
            self._busy.add(worker)
            try:
                status, result = await self._exchanged(worker, content)
            except BaseException:
                # The pipe may hold half an answer: this worker can't be trusted any more.
                await _ended(worker)
                raise
            else:
                self._idle.append(worker)
            finally:
                self._busy.discard(worker)
        return _unwrapped(status, result)

    async def close(self) -> None:
        """Ends all workers; orders under way fail."""
        self._closed = True
        workers = [*self._idle, *self._busy]
        self._idle.clear()
        await asyncio.gather(*map(_ended, workers))

    async def _started(self) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                self._module,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            )
        except OSError as fault:
            raise OrderFailed(f"a worker did not start: {fault}") from fault

    async def _exchanged(
        self, worker: asyncio.subprocess.Process, content: bytes
    ) -> tuple[bytes, bytes]:
        try:
            async with asyncio.timeout(self._timeout):
                return await _exchange(worker, content)
        except TimeoutError:
            raise OrderTookTooLong(f"no result within {self._timeout:g} s") from None
        except (OSError, asyncio.IncompleteReadError) as fault:
            raise OrderFailed("a worker died") from fault


def serve_orders(carry_out: Callable[[bytes], bytes], memory_limit: int) -> None:
    """A worker's main: orders from stdin until it ends; `memory_limit` is in bytes.

    An OrderRefused that `carry_out` raises is the answer to that order.
    """
    # Ctrl-C reaches the whole process group; the master decides when its workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _limit_memory(memory_limit)
    orders, answers = _private_pipes()
    # A master that died while we worked wants no answer: that is an end, not an error.
    with suppress(BrokenPipeError):
        while header := orders.read(_ORDER.size):
            (length,) = _ORDER.unpack(header)
            status, result = _answered(carry_out, orders.read(length))
            answers.write(_ANSWER.pack(status, len(result)) + result)
            answers.flush()


def _answered(carry_out: Callable[[bytes], bytes], content: bytes) -> tuple[bytes, bytes]:
    try:
        return _DONE, carry_out(content)
    except OrderRefused as refusal:
        return _REFUSED, str(refusal).encode()
    except Exception as fault:
        return _FAILED, f"{type(fault).__name__}: {fault}".encode(errors="replace")


def _private_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Keep stdout for answers, so that nothing a library prints can get between them."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return sys.stdin.buffer, answers


def _limit_memory(limit: int) -> None:
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


async def _exchange(worker: asyncio.subprocess.Process, content: bytes) -> tuple[bytes, bytes]:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(_ORDER.pack(len(content)) + content)
    await worker.stdin.drain()
    status, length = _ANSWER.unpack(await worker.stdout.readexactly(_ANSWER.size))
    return status, await worker.stdout.readexactly(length)


def _unwrapped(status: bytes, result: bytes) -> bytes:
    if status == _DONE:
        return result
    if status == _REFUSED:
        raise OrderRefused(result.decode())
    raise OrderFailed(result.decode(errors="replace"))


async def _ended(worker: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        worker.kill()
    await worker.wait()
