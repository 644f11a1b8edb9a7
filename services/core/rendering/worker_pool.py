"""A few worker processes that draw in parallel.

Processes of our own rather than an executor's: resvg keeps the interpreter lock while it draws, so
threads would not draw at the same time, and an order that hangs can be killed.
"""

from services.core.rendering.base import RenderBackendError, RenderTimeout
from services.core.worker_processes import (
    OrderFailed,
    OrderRefused,
    OrderTookTooLong,
    WorkerProcesses,
)

_WORKER_MODULE = "services.core.rendering.worker"


class UnreadableOrder(Exception):
    """The worker could not read what it was given."""


class WorkerPool:
    """Up to `size` processes, started when first needed; a broken one is replaced.

    `timeout_seconds` bounds one order, the wait for a free worker excluded.
    """

    def __init__(self, size: int, timeout_seconds: float) -> None:
        if size < 1:
            raise ValueError(f"a worker pool needs at least one worker, got {size}")
        self._processes = WorkerProcesses(_WORKER_MODULE, size, timeout_seconds)

    async def start(self) -> None:
        """Start every worker now, so that the first orders don't wait for it."""
        try:
            await self._processes.start()
        except OrderFailed as error:
            raise RenderBackendError(str(error)) from error

    async def order(self, kind: bytes, content: bytes) -> bytes:
        """Have a worker carry out one order and return its answer.

        Raises UnreadableOrder, RenderTimeout, and RenderBackendError if the worker failed or died.
        """
        try:
            return await self._processes.order(kind + content)
        except OrderRefused as error:
            raise UnreadableOrder(str(error)) from error
        except OrderTookTooLong as error:
            raise RenderTimeout(str(error)) from error
        except OrderFailed as error:
            raise RenderBackendError(f"drawing failed: {error}") from error

    async def close(self) -> None:
        """End all workers; orders under way fail with RenderBackendError."""
        await self._processes.close()
