"""How every service runs: uvloop, logs, a stop signal, and an operations port that tells."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from typing import Any

import structlog
import uvloop
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest

from services.core.errors import DependencyUnavailable
from services.core.http_server import BoundedRunner, allow_many_files
from services.core.settings import CoreSettings
from services.core.telemetry import configure_logging

log = structlog.get_logger(__name__)

ReadinessCheck = Callable[[], Awaitable[None]]
"""Returns when fine, raises DependencyUnavailable or NotReady when not."""

Report = Callable[[], Awaitable[Mapping[str, Any]]]
"""What `/readyz` says beside its checks; it makes nobody unready."""

CHECK_TIMEOUT = 2.0

TASKS = Gauge("asyncio_tasks", "Tasks of the event loop that have not ended.")


class NotReady(Exception):
    """The service can't do its work, and no dependency says why."""


class ServiceFailed(Exception):
    """A part of the service that must run for ever has ended."""

    def __init__(self, part: str) -> None:
        super().__init__(f"{part} has ended")
        self.part = part


def run_service(
    name: str,
    settings: CoreSettings,
    serve: Callable[[asyncio.Event], Coroutine[Any, Any, None]],
) -> None:
    """Runs `serve(stop)` until it returns; SIGTERM and SIGINT set `stop`."""
    configure_logging(name, settings.log_level)
    allow_many_files()

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signal_number, stop.set)
        log.info("service_starts")
        await serve(stop)
        log.info("service_stopped")

    uvloop.run(main())


async def run_until(stop: asyncio.Event, parts: Mapping[str, Coroutine[Any, Any, None]]) -> None:
    """Runs `parts` beside each other until `stop` is set, then cancels them.

    Raises ServiceFailed, or what the part raised, when one of them ends by itself.
    """
    tasks = {asyncio.create_task(part, name=name) for name, part in parts.items()}
    stopped = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait({stopped, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {stopped}:
            task.result()
            raise ServiceFailed(task.get_name())
    finally:
        for task in (stopped, *tasks):
            task.cancel()
        await asyncio.gather(stopped, *tasks, return_exceptions=True)


async def first_to_end(*parts: Coroutine[None, None, None]) -> None:
    """Runs `parts` beside each other until one ends, and raises what that one does."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def serve_operations(
    stack: AsyncExitStack,
    host: str,
    port: int,
    checks: Mapping[str, ReadinessCheck],
    report: Report | None = None,
) -> None:
    """Serves `/livez`, `/readyz` and `/metrics` until `stack` closes."""

    async def livez(_: web.Request) -> web.Response:
        return web.json_response({"status": "live"})

    async def readyz(_: web.Request) -> web.Response:
        names = list(checks)
        results, said = await asyncio.gather(
            asyncio.gather(*(_checked(checks[name]) for name in names)), _reported(report)
        )
        ready = all(result == "ok" for result in results)
        checked = dict(zip(names, results, strict=True))
        body = {"status": "ready" if ready else "unready", "checks": checked, **said}
        return web.json_response(body, status=200 if ready else 503)

    async def metrics(_: web.Request) -> web.Response:
        TASKS.set(len(asyncio.all_tasks()))
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    application = web.Application()
    application.router.add_get("/livez", livez)
    application.router.add_get("/readyz", readyz)
    application.router.add_get("/metrics", metrics)
    await serve_http(stack, application, host, port)


async def serve_http(
    stack: AsyncExitStack, application: web.Application, host: str, port: int
) -> None:
    """Listens until `stack` closes; then requests under way get 10 s to end."""
    runner = BoundedRunner(application, access_log=None, keepalive_timeout=75, shutdown_timeout=10)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, host, port, backlog=1024).start()


async def _checked(check: ReadinessCheck) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT):
            await check()
    except (DependencyUnavailable, NotReady) as fault:
        return str(fault)
    except TimeoutError:
        return f"no answer within {CHECK_TIMEOUT} s"
    return "ok"


async def _reported(report: Report | None) -> Mapping[str, Any]:
    if report is None:
        return {}
    try:
        async with asyncio.timeout(CHECK_TIMEOUT):
            return await report()
    except (DependencyUnavailable, TimeoutError):
        return {}
