"""The whole system as real processes over the test stack, each to be killed and started again."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import psutil

from deploy.local.ports import LOOPBACK, any_free_port
from deploy.local.process import ChildProcess
from deploy.local.stack import Stack
from schemas.ids import UlidSource
from services.core.controlplane import create_key, create_organization, create_project
from services.core.eventlog.topics import TopicNames
from services.core.postgres import Pool, acquire
from services.ops.grants import grant
from tests.waiting import eventually

READY_WITHIN = 40.0
SERVICES = ("api", "renderer", "projector", "content")


@dataclass
class Part:
    """One service as a process of its own."""

    name: str
    environment: Mapping[str, str]
    operations_port: int
    process: ChildProcess
    kills: int = 0
    module: tuple[str, ...] = ()

    def start(self, **environment: str) -> None:
        """`environment` is for this start only."""
        module = self.module or (f"services.{self.name}",)
        command = [sys.executable, "-m", *module]
        self.process.start(command, {**os.environ, **self.environment, **environment})

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.kills += 1

    async def has_ended(self) -> bool:
        return not self.process.is_running()

    async def is_stopped(self) -> bool:
        """By SIGSTOP."""
        pid = self.process.pid
        return pid is not None and psutil.Process(pid).status() == psutil.STATUS_STOPPED

    async def is_ready(self) -> bool:
        if not self.process.is_running():
            log = self.process.log.read_text()[-2000:]
            raise AssertionError(f"{self.name} ended with {self.process.exit_status}: {log}")
        url = f"http://{LOOPBACK}:{self.operations_port}/readyz"
        try:
            async with aiohttp.ClientSession() as session, session.get(url) as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    async def until_ready(self) -> None:
        await eventually(f"{self.name} is ready", self.is_ready, within=READY_WITHIN)


@dataclass
class System:
    """`parts` by name, each a `process`; `base_url`, `project_id` and `api_key` are what a client
    needs."""

    database_url: str
    topics: TopicNames
    folder: Path
    media_folder: Path
    base_url: str
    organization_id: str
    project_id: str
    api_key: str
    environment: Mapping[str, str] = field(default_factory=dict)
    process: type[ChildProcess] = ChildProcess
    parts: dict[str, Part] = field(default_factory=dict)
    _twins: list[Part] = field(default_factory=list)

    def add(self, name: str) -> Part:
        """One more service, not yet started."""
        self.parts[name] = self._part(name, self.environment, name)
        return self.parts[name]

    def twin_of(self, part: Part) -> Part:
        """A replica of `part`, not yet started, on ports of its own."""
        twin = self._part(
            part.name,
            {
                **part.environment,
                "API_PORT": str(any_free_port()),
                "PROJECTOR_INSTANCE": f"projector-{len(self._twins) + 1}",
                "RENDERER_INSTANCE_ID": f"renderer-{len(self._twins) + 1}",
                "CONTENT_INSTANCE": f"content-{len(self._twins) + 1}",
            },
            f"{part.name}-{len(self._twins) + 1}",
        )
        self._twins.append(twin)
        return twin

    def _part(self, name: str, environment: Mapping[str, str], known_as: str) -> Part:
        port = any_free_port()
        own = {**environment, f"{name.upper()}_OPERATIONS_PORT": str(port)}
        log = self.folder / f"{known_as}.log"
        process = self.process(known_as, self.folder / "run", log, signal.SIGTERM)
        return Part(name, own, port, process)

    async def start(self) -> None:
        for part in self.parts.values():
            part.start()
        await asyncio.gather(*(part.until_ready() for part in self.parts.values()))

    def kill(self) -> None:
        """At once: for when nobody looks any more."""
        for part in (*self.parts.values(), *self._twins):
            part.process.kill()

    def stop(self) -> None:
        for part in (*self.parts.values(), *self._twins):
            part.process.resume()
            part.process.stop(timeout=10)


async def build_system(
    stack: Stack,
    database_url: str,
    pool: Pool,
    topics: TopicNames,
    folder: Path,
    backend: str | None = None,
    environment: Mapping[str, str] | None = None,
    process: type[ChildProcess] = ChildProcess,
) -> System:
    """Services that aren't running yet, and an organization, project and key of their own."""
    await grant(database_url)
    api_port = any_free_port()
    async with acquire(pool) as connection:
        organization_id = await create_organization(connection, "Faults")
        project_id = await create_project(connection, organization_id, "Faults")
        api_key, _ = await create_key(
            connection,
            UlidSource(),
            organization_id=organization_id,
            name="faults",
            scopes=["*"],
            tier="internal",
        )
    system = System(
        database_url=database_url,
        topics=topics,
        folder=folder,
        media_folder=folder / "media",
        base_url=f"http://{LOOPBACK}:{api_port}",
        organization_id=organization_id,
        project_id=project_id,
        api_key=api_key,
        process=process,
    )
    system.environment = {
        "DATABASE_URL": database_url,
        "DATABASE_READER_ROLE": "influencer_reader",
        "KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": topics.prefix,
        "MEDIA_STORE_URL": system.media_folder.as_uri(),
        "MEDIA_SIGNING_KEY": "0" * 64,
        "PUBLIC_BASE_URL": system.base_url,
        "API_PORT": str(api_port),
        "LOG_LEVEL": "WARNING",
        "RENDERER_CONCURRENCY": "8",
        "PROJECTOR_INSTANCE": "projector-0",
        "CONTENT_INSTANCE": "content-0",
        **({"RENDERER_BACKEND": backend} if backend else {}),
        **(environment or {}),
    }
    for name in SERVICES:
        system.add(name)
    return system
