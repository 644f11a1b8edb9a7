"""aiohttp's server, with its own errors in the contract's shape."""

from contextlib import AsyncExitStack
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from services.api.application import answering, bad_http_answer, build_application
from services.api.calls import Api
from services.api.connections import ApiConnection
from services.api.ingress import Ingress
from services.core.http_server import BoundedRunner, BoundedServer

KEEP_ALIVE = 75.0
"""Seconds; the runner's own default is an hour."""
SHUTDOWN_TIMEOUT = 8.0
LINGERING = 2.0
"""Seconds in which the rest of a body that nobody wants may still arrive."""


async def serve_api(stack: AsyncExitStack, api: Api, host: str, port: int) -> int:
    """Listens until `stack` closes; requests under way then get some seconds to end.

    The port is the one listened on: any free one for 0.
    """
    runner = _Runner(
        build_application(api),
        access_log=None,
        keepalive_timeout=KEEP_ALIVE,
        lingering_time=LINGERING,
        shutdown_timeout=SHUTDOWN_TIMEOUT,
    )
    runner.api = api
    stack.push_async_callback(api.inspector.close)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, host, port, backlog=2048, reuse_address=True).start()
    return int(runner.addresses[0][1])


class _Runner(BoundedRunner):
    __slots__ = ("api",)

    api: Api

    def _bounded(self, server: web.Server) -> BoundedServer:
        return _Server(self.api, server)


class _Server(BoundedServer):
    def __init__(self, api: Api, like: web.Server) -> None:
        super().__init__(like, answering(api, like.request_handler))
        self._api = api
        self._ingress = Ingress()

    def __call__(self) -> RequestHandler:
        return _RequestHandler(self._api, self._ingress, self, loop=self._loop, **self._kwargs)


class _RequestHandler(ApiConnection):
    __slots__ = ("_api",)

    def __init__(self, api: Api, ingress: Ingress, manager: web.Server, **options: Any) -> None:
        super().__init__(ingress, manager, **options)
        self._api = api

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        if status >= 500:
            self.log_exception("request failed outside the application", exc_info=exc)
        return bad_http_answer(self._api, status)
