"""Postgres and Kafka together: the one place where `make run` and the tests get them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import AlreadyRunningError, DiskFullError, LocalStackError
from deploy.local.kafka import LocalKafka
from deploy.local.ports import RememberedPorts
from deploy.local.postgres import LocalPostgres
from deploy.local.process import ChildProcess, raise_if_disk_full

REPOSITORY = Path(__file__).parents[2]
NEEDED_MB = 500


@dataclass(frozen=True)
class Stack:
    """Where the parts are; `kafka` and `postgres` are None when they are not ours to break."""

    database_url: str
    bootstrap_servers: str
    kafka: LocalKafka | None = None
    postgres: LocalPostgres | None = None


def cache_directory() -> Path:
    """Downloads and class archives, shared by all stacks of this checkout."""
    return Path(os.environ.get("CACHE_DIR") or REPOSITORY / ".cache").resolve()


def local_postgres(state_directory: Path, ports: RememberedPorts) -> LocalPostgres:
    return LocalPostgres(
        state_directory / "postgres",
        port=ports.take("postgres"),
        log=state_directory / "logs" / "postgres.log",
    )


def local_kafka(state_directory: Path, ports: RememberedPorts) -> LocalKafka:
    return LocalKafka(
        state_directory / "kafka",
        cache=cache_directory(),
        port=ports.take("kafka"),
        controller_port=ports.take("kafka-controller"),
        log=state_directory / "logs" / "kafka.log",
    )


@contextlib.contextmanager
def exclusive(state_directory: Path) -> Iterator[None]:
    """One stack per folder. The kernel frees the lock of a killed run, so it is never stale."""
    try:
        state_directory.mkdir(parents=True, exist_ok=True)
        check_disk(state_directory)
        lock = (state_directory / "lock").open("w")
    except OSError as error:
        raise_if_disk_full(error, state_directory)
        raise LocalStackError(
            f"Cannot write to {state_directory}: {error.strerror}.",
            "Make it writable, or use STATE_DIR=/another/folder.",
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRunningError(state_directory) from error
        stop_leftovers(state_directory)
        yield


def stop_leftovers(state_directory: Path) -> None:
    """What a killed run left behind holds ports and locks, so it goes before anything starts."""
    signals = {"postgres": signal.SIGINT}
    for record in [*state_directory.glob("run/*.json"), *state_directory.glob("[kp]*/[kp]*.json")]:
        name, stop_signal = record.stem, signals.get(record.stem, signal.SIGTERM)
        log = state_directory / "logs" / f"{name}.log"
        ChildProcess(name, record.parent, log, stop_signal).stop_leftover()


def check_disk(directory: Path) -> None:
    if shutil.disk_usage(directory).free < NEEDED_MB * 1024 * 1024:
        raise DiskFullError(directory, NEEDED_MB)


@contextlib.contextmanager
def test_stack(state_directory: Path) -> Iterator[Stack]:
    """The stack for a test run: external, in containers or local, as the environment says."""
    database_url = os.environ.get("DATABASE_URL")
    bootstrap_servers = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if database_url and bootstrap_servers:
        yield Stack(database_url, bootstrap_servers)
    elif os.environ.get("TEST_STACK") == "testcontainers":
        with container_stack() as stack:
            yield stack
    else:
        with local_stack(state_directory) as stack:
            yield stack


# pytest would otherwise collect it wherever it is imported.
test_stack.__test__ = False  # type: ignore[attr-defined]


@contextlib.contextmanager
def local_stack(state_directory: Path) -> Iterator[Stack]:
    with exclusive(state_directory), contextlib.ExitStack() as running:
        ports = RememberedPorts(state_directory / "ports.json")
        kafka, postgres = (
            local_kafka(state_directory, ports),
            local_postgres(state_directory, ports),
        )
        running.callback(kafka.stop)
        running.callback(postgres.stop)
        postgres.start()
        kafka.start()
        yield Stack(postgres.dsn, kafka.bootstrap_servers, kafka, postgres)


@contextlib.contextmanager
def container_stack() -> Iterator[Stack]:
    # Only these runs need the packages.
    from deploy.local.containers import containers

    with containers() as (database_url, bootstrap_servers):
        yield Stack(database_url, bootstrap_servers)
