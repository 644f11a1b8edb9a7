"""Where an installation is, and `influencerctl` at work on it."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import asyncpg
import orjson
from typer.testing import CliRunner

from services.core.eventlog.topics import TopicNames
from services.ops.__main__ import ctl
from tests.conftest import database_named
from tests.processes import at_work


@dataclass(frozen=True)
class Answer:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return orjson.loads(self.out)

    @property
    def json_lines(self) -> list[Any]:
        return [orjson.loads(line) for line in self.out.splitlines()]


@dataclass(frozen=True)
class Installation:
    database_url: str
    bootstrap_servers: str
    topics: TopicNames

    @property
    def environment(self) -> dict[str, str]:
        return {
            "DATABASE_URL": self.database_url,
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": self.topics.prefix,
        }

    def moved(self, **parts: Any) -> "Installation":
        return replace(self, **parts)

    async def ctl(self, *arguments: str, typed: str | None = None) -> Answer:
        """`influencerctl` within this process."""
        return await asyncio.to_thread(invoked, arguments, self.environment, typed)

    async def ctl_process(self, *arguments: str, fail_at: str = "", **environment: str) -> Answer:
        """`influencerctl` as an operator starts it; `fail_at` names where it is killed."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.ops",
            *arguments,
            env={**os.environ, **self.environment, "FAIL_AT": fail_at, **environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        return Answer(process.returncode or 0, out.decode(), err.decode())

    def ctl_at_work(
        self, *arguments: str
    ) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
        """`influencerctl`, its output in a pipe; as long as it runs, it holds the database."""
        environment = {**os.environ, **self.environment}
        return at_work("services.ops", *arguments, env=environment, stdout=asyncio.subprocess.PIPE)


def invoked(
    arguments: Sequence[str], environment: Mapping[str, str | None], typed: str | None = None
) -> Answer:
    result = CliRunner().invoke(ctl, list(arguments), env=environment, input=typed)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Answer(result.exit_code, result.stdout, result.stderr)


@asynccontextmanager
async def copied_database(database_url: str, template: str) -> AsyncIterator[str]:
    """A database like `template`, to which nobody is connected."""
    name = f"ops_{uuid4().hex}"
    await execute(database_url, f"create database {name} template {template}")
    yield database_named(database_url, name)
    await execute(database_url, f"drop database {name} with (force)")


async def execute(database_url: str, statement: str, *arguments: object) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(statement, *arguments)
    finally:
        await connection.close()
