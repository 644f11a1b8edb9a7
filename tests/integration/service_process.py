"""A service in a process of its own, to be stopped and killed."""

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.waiting import eventually


@dataclass
class ServiceProcess:
    """`service` is the name of its package; its environment has `<SERVICE>_OPERATIONS_PORT`."""

    service: str
    environment: Mapping[str, str]
    log: Path
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Returns once it is ready."""
        await self.spawn()
        await eventually(f"the {self.service} service is ready", self._is_ready, within=40)

    async def spawn(self) -> None:
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                f"services.{self.service}",
                env={**os.environ, **self.environment},
                stderr=log,
            )

    async def end(self, signal_number: int) -> int:
        """Its exit status."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal_number)
        return await asyncio.wait_for(self.process.wait(), 15)

    async def ended(self, within: float = 30) -> int:
        """Its exit status, once it has ended by itself."""
        assert self.process is not None
        return await asyncio.wait_for(self.process.wait(), within)

    async def _is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.returncode is None, self.log.read_text()[-3000:]
        port = self.environment[f"{self.service.upper()}_OPERATIONS_PORT"]
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://127.0.0.1:{port}/readyz") as response,
            ):
                return response.status == 200
        except aiohttp.ClientError:
            return False
