from __future__ import annotations

import os
import socket
import stat

import asyncpg
import pytest

from deploy.local.errors import PortInUseError
from deploy.local.ports import LOOPBACK
from deploy.local.postgres import LocalPostgres


async def run_sql(postgres: LocalPostgres, statement: str) -> object:
    connection = await asyncpg.connect(postgres.dsn, timeout=10)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_what_was_committed_survives_a_kill_and_a_restart(postgres: LocalPostgres) -> None:
    postgres.start()
    await run_sql(postgres, "CREATE TABLE kept (value int)")
    await run_sql(postgres, "INSERT INTO kept VALUES (42)")

    postgres.kill()
    assert not postgres.is_running()
    postgres.start()
    assert await run_sql(postgres, "SELECT value FROM kept") == 42

    postgres.stop()
    postgres.start()
    assert await run_sql(postgres, "SELECT value FROM kept") == 42


async def test_durability_is_on(postgres: LocalPostgres) -> None:
    postgres.start()

    assert await run_sql(postgres, "SHOW fsync") == "on"
    assert await run_sql(postgres, "SHOW synchronous_commit") == "on"
    assert await run_sql(postgres, "SHOW max_connections") == "200"


async def test_only_the_generated_password_opens_it(postgres: LocalPostgres) -> None:
    postgres.start()
    password_file = postgres.directory / "password"

    assert stat.S_IMODE(password_file.stat().st_mode) == 0o600
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(
            host=LOOPBACK, port=postgres.port, user="postgres", password="wrong", timeout=10
        )


async def test_a_postmaster_pid_that_now_is_another_program_does_no_harm(
    postgres: LocalPostgres,
) -> None:
    postgres.start()
    pid_file = postgres.directory / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    postgres.kill()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")

    postgres.start()

    assert await run_sql(postgres, "SELECT 1") == 1


async def test_a_half_made_database_is_made_anew(postgres: LocalPostgres) -> None:
    unfinished = postgres.directory / "data.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")

    postgres.start()

    assert await run_sql(postgres, "SELECT 1") == 1
    assert not unfinished.exists()


def test_a_port_in_use_is_said_clearly(postgres: LocalPostgres) -> None:
    with socket.socket() as other:
        other.bind((LOOPBACK, postgres.port))
        other.listen()

        with pytest.raises(PortInUseError, match=f"Port {postgres.port} .* is already in use"):
            postgres.start()


async def test_a_second_instance_replaces_what_a_killed_supervisor_left(
    postgres: LocalPostgres,
) -> None:
    postgres.start()
    left_behind = postgres.pid

    successor = LocalPostgres(postgres.directory, port=postgres.port)
    successor.start()
    try:
        assert successor.pid != left_behind
        assert await run_sql(successor, "SELECT 1") == 1
        assert not postgres.is_running()
    finally:
        successor.stop()
