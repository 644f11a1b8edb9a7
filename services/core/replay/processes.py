"""One process per share of the log; each reports what it has done while it works.

A worker ends when its stdin does, so it never outlives its master. The order, and each report, is
one line of JSON.
"""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, BinaryIO

import orjson
import uvloop

from services.core.errors import DependencyUnavailable

LONGEST_REPORT = 16 * 1024 * 1024
"""Bytes of one line."""

Report = Callable[[Any], None]


class WorkerFailed(Exception):
    """A worker ended without having done all."""


async def carry_out_in_processes(
    module: str, orders: Sequence[Any], heard: Callable[[int, Any], None]
) -> None:
    """Starts `python -m module` for each of `orders`, and waits until all have carried them out.

    `heard` is called with the order's place and each report. Raises DependencyUnavailable or
    WorkerFailed when one of them fails; the others are killed then.
    """
    tasks = [
        asyncio.create_task(_carry_out(module, order, lambda said, n=place: heard(n, said)))  # type: ignore[misc]
        for place, order in enumerate(orders)
    ]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def serve_order(carry_out: Callable[[Any, Report], Coroutine[Any, Any, None]]) -> None:
    """A worker's main: carries out the one order that stands on stdin, and reports on stdout."""
    # Ctrl-C reaches the whole process group; the master decides when its workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = _private_stdout()

    def report(said: Any, kind: str = "report") -> None:
        answers.write(orjson.dumps({kind: said}) + b"\n")
        answers.flush()

    order = orjson.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        uvloop.run(carry_out(order, report))
    except DependencyUnavailable as fault:
        report([fault.dependency, fault.reason], "unavailable")
    except Exception as fault:
        report(f"{type(fault).__name__}: {fault}", "failed")
    else:
        report(None, "done")


async def _carry_out(module: str, order: Any, heard: Callable[[Any], None]) -> None:
    worker = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LONGEST_REPORT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    try:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(orjson.dumps(order) + b"\n")
        async for line in worker.stdout:
            ((kind, said),) = orjson.loads(line).items()
            if kind == "done":
                return
            if kind == "unavailable":
                raise DependencyUnavailable(*said)
            if kind == "failed":
                raise WorkerFailed(said)
            heard(said)
        raise WorkerFailed(f"a worker died: status {await worker.wait()}")
    finally:
        if worker.returncode is None:
            worker.kill()
        await worker.wait()


def _private_stdout() -> BinaryIO:
    """Keeps stdout for reports, so that nothing a library prints can get between them."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


def _end_with_stdin() -> None:
    sys.stdin.buffer.read()
    os._exit(1)
