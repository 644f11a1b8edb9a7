"""Looks at images from strangers in processes of their own: a bomb can't hurt who asks."""

from services.core.errors import DependencyUnavailable
from services.core.storage import inspection_worker
from services.core.storage.errors import ImageUnreadable
from services.core.storage.inspection import InspectedImage
from services.core.worker_processes import (
    OrderFailed,
    OrderRefused,
    OrderTookTooLong,
    WorkerProcesses,
)

ATTEMPTS = 2


class ImageInspector:
    """Processes are started when first needed; `close` ends them. `timeout` is in seconds."""

    def __init__(self, size: int = 2, timeout: float = 10.0) -> None:
        self._workers = WorkerProcesses(inspection_worker.__name__, size, timeout)

    async def inspect(self, content: bytes) -> InspectedImage:
        """Raises ImageUnreadable, also for what takes too long to decode or kills its worker;
        DependencyUnavailable.
        """
        for _ in range(ATTEMPTS):
            try:
                return inspection_worker.unpacked(await self._workers.order(content), content)
            except OrderRefused as refusal:
                raise ImageUnreadable(str(refusal)) from refusal
            except OrderTookTooLong as fault:
                raise ImageUnreadable("it takes too long to decode") from fault
            except OrderFailed as fault:
                # Once may be chance, such as a machine short of memory.
                failure = fault
        if isinstance(failure.__cause__, EOFError):
            raise ImageUnreadable("it does not decode as PNG, WebP or JPEG") from failure
        raise DependencyUnavailable("image inspection", str(failure)) from failure

    async def close(self) -> None:
        await self._workers.close()
