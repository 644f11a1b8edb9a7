"""A worker process that behaves as badly as it is told to."""

import os
import signal

from services.core.worker_processes import serve_orders


def _carry_out(order: bytes) -> bytes:
    match order:
        case b"eat":
            return bytes(1024**3)
        case b"die":
            os._exit(1)
        case b"hang":
            signal.pause()
    return order


if __name__ == "__main__":
    serve_orders(_carry_out, memory_limit=512 * 1024 * 1024)
