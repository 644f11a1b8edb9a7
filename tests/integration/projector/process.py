"""A projector as a process of its own, to be killed, stopped and resumed."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from deploy.local.ports import any_free_port
from services.core.eventlog.topics import TopicNames
from tests.waiting import eventually


class ProjectorProcess:
    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self._url = f"http://127.0.0.1:{port}"

    async def is_ready(self) -> bool:
        return (await self.get("/readyz"))[0] == 200

    async def until_ready(self) -> None:
        await eventually("readiness", self.is_ready, 30)

    async def get(self, path: str) -> tuple[int, str]:
        try:
            timeout = aiohttp.ClientTimeout(total=3)
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(self._url + path) as response,
            ):
                return response.status, await response.text()
        except (aiohttp.ClientError, TimeoutError):
            return 0, ""

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def kill(self) -> None:
        self._process.kill()
        await self._process.wait()

    async def terminate(self, within: float) -> int:
        self._process.terminate()
        return await asyncio.wait_for(self._process.wait(), within)

    async def end(self) -> None:
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGCONT)
            await self.kill()


@asynccontextmanager
async def projector_process(
    database_url: str,
    bootstrap_servers: str,
    names: TopicNames,
    batch_size: int = 100,
    instance: str = "",
) -> AsyncIterator[ProjectorProcess]:
    port = any_free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.projector",
        env={
            **os.environ,
            "DATABASE_URL": database_url,
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": names.prefix,
            "PROJECTOR_OPERATIONS_PORT": str(port),
            "PROJECTOR_INSTANCE": instance,
            "PROJECTOR_BATCH_SIZE": str(batch_size),
            "LOG_LEVEL": "WARNING",
        },
    )
    running = ProjectorProcess(process, port)
    try:
        yield running
    finally:
        await running.end()
