"""A Postgres with a synchronous standby, which can take its place."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from deploy.local.kafka import LocalKafka
from deploy.local.ports import any_free_port
from deploy.local.postgres import LocalPostgres, binary, environment, unprivileged_identity
from deploy.local.process import launch_command
from deploy.local.secret_file import write_secret
from deploy.local.stack import Stack, cache_directory
from tests.waiting import eventually

IS_SYNCHRONOUS = "select count(*) > 0 from pg_stat_replication where sync_state = 'sync'"


@dataclass
class PostgresPair:
    """`primary` is always at the same address, whichever of the two it is."""

    folder: Path
    primary: LocalPostgres
    standby: LocalPostgres | None = None
    generation: int = 0

    async def add_standby(self) -> None:
        """From now on no commit is acknowledged that the standby does not hold as well."""
        self.generation += 1
        directory = self.folder / f"standby-{self.generation}"
        await asyncio.to_thread(_copy, self.primary, directory)
        self.standby = LocalPostgres(directory, port=any_free_port())
        await asyncio.to_thread(self.standby.start)
        async with _connected(self.primary) as connection:
            await connection.execute("alter system set synchronous_standby_names = '*'")
            await connection.execute("select pg_reload_conf()")
            await eventually(
                "the standby is synchronous", lambda: connection.fetchval(IS_SYNCHRONOUS), 30
            )

    async def promote(self) -> None:
        """The primary is dead; the standby takes its place, and its address."""
        assert self.standby is not None
        async with _connected(self.standby) as connection:
            await connection.execute("select pg_promote()")
            await connection.execute("alter system reset synchronous_standby_names")
        await asyncio.to_thread(self._move, self.standby)
        self.standby = None

    def _move(self, standby: LocalPostgres) -> None:
        address = self.primary.port
        standby.stop()
        shutil.rmtree(self.primary.directory)
        self.primary = LocalPostgres(standby.directory, port=address)
        self.primary.start()

    def stop(self) -> None:
        if self.standby is not None:
            self.standby.stop()
        self.primary.stop()


@dataclass(frozen=True)
class PairStack(Stack):
    pair: PostgresPair | None = None


@contextmanager
def with_a_standby(folder: Path) -> Iterator[PairStack]:
    kafka = LocalKafka(folder / "kafka", cache=cache_directory())
    pair = PostgresPair(folder, LocalPostgres(folder / "postgres"))
    pair.primary.start()
    try:
        with kafka:
            yield PairStack(pair.primary.dsn, kafka.bootstrap_servers, kafka, None, pair)
    finally:
        pair.stop()


def _copy(primary: LocalPostgres, directory: Path) -> None:
    directory.mkdir(parents=True)
    identity = unprivileged_identity(primary.directory)
    password = (primary.directory / "password").read_text()
    write_secret(directory / "password", password)
    data = directory / "data"
    data.mkdir(mode=0o700)
    if identity is not None:
        os.chown(data, identity.uid, identity.gid)
    command = [
        str(binary("pg_basebackup")),
        f"--pgdata={data}",
        f"--dbname={primary.dsn}",
        "--write-recovery-conf",
        "--checkpoint=fast",
        "--no-sync",
    ]
    finished = subprocess.run(
        launch_command(command, signal.SIGTERM, identity),
        env=environment(),
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr


@asynccontextmanager
async def _connected(server: LocalPostgres) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(server.dsn)
    try:
        yield connection
    finally:
        await connection.close()
