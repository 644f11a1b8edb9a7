"""API2 and API8: secrets never show up in logs, metrics, events or errors; nothing forges a line.

A process of its own that says all it has to say (LOG_LEVEL=DEBUG), asked in every way.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from services.core.postgres import acquire
from tests.integration.api.calling import Caller, new_caller
from tests.integration.api.conftest import NewCaller
from tests.integration.api.serving import HOST, Service
from tests.integration.api.test_process import environment, process, readiness, stopped
from tests.waiting import eventually

FORGED = '\r\n{"event":"forged","level":"error"}\r\n'
LOGGING = """
import logging, sys
import structlog
from services.core.telemetry import configure_logging
configure_logging("x\\r\\nforged", "DEBUG")
log, evil = structlog.get_logger("a"), sys.argv[1]
log.info(evil, path=evil, **{evil: evil})
log.info("bytes", value=evil.encode(), nested={"a": [evil]})
logging.getLogger(evil).warning("%s " + evil, evil)
try:
    raise RuntimeError(evil)
except RuntimeError:
    log.exception(evil)
    logging.getLogger("b").exception(evil)
"""


async def test_a_line_break_forges_no_line() -> None:
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", LOGGING, FORGED), stderr=asyncio.subprocess.PIPE
    )
    _, log = await running.communicate()
    lines = [json.loads(line) for line in log.decode().removesuffix("\n").split("\n")]
    assert running.returncode == 0
    assert len(lines) == 5
    assert not [line for line in lines if line["event"] == "forged"]
    assert b"\r" not in log


@pytest.fixture
def secrets(tmp_path: Path) -> dict[str, str]:
    return {
        "signing key": "planted-signing-key-of-32-characters",
        "database password": "planted-database-password",
        "wrong key": f"isk_01HXZ9G7KMV2QX8Y1S5RJW3B7T_{'planted-wrong-key'.ljust(43, 'x')}",
        "malformed key": "planted-malformed-key",
        "bearer": "planted-bearer-token",
        "basic": "planted-basic-credentials",
        "cookie": "planted-cookie",
        "signature": "planted-signature",
    }


async def ask(caller: Caller, secrets: dict[str, str]) -> list[str]:
    """Everything that a client is told for requests that carry secrets, right and wrong."""
    headers = [
        {"X-Api-Key": secrets["wrong key"]},
        {"X-Api-Key": secrets["malformed key"]},
        {"Authorization": f"Bearer {secrets['bearer']}"},
        {"Authorization": f"Basic {secrets['basic']}"},
        {"Cookie": f"session={secrets['cookie']}"},
    ]
    answers = []
    for path in ("/v1/whoami", caller.influencers, "/v1/nothing", "/media/a/b.png"):
        for header in headers:
            anonymous = Caller(caller.http, caller.base_url, "", "", None, "")
            answers.append(await anonymous.send("GET", path, headers=header))
            answers.append(await caller.send("GET", path, headers=header))
    answers.append(await caller.get(f"/media/x.png?expires=1&signature={secrets['signature']}"))
    answers.append(await caller.post(caller.influencers, b"{" + FORGED.encode()))
    answers.append(await caller.post(caller.influencers, {"name": f"Ava{FORGED}"}))
    answers.append(await caller.get("/v1/%0d%0a%7B%22event%22:%22forged%22%7D"))
    return [f"{answer.headers}{answer.body.decode()}" for answer in answers]


async def malformed(port: int, secret: str) -> None:
    for sent in (
        b"GET /v1/whoami HTTP/1.1\r\nHost: a\r\nX-Api-Key: %b\r\n\x00: x\r\n\r\n",
        b"GET /v1/whoami HTTP/1.1\r\nX-Api-Key: %b\r\nContent-Length: x\r\n\r\n",
        b"%b\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(sent % secret.encode())
        told = await asyncio.wait_for(reader.read(), 10)
        assert secret.encode() not in told
        writer.close()


async def test_planted_secrets_never_show_up(
    http: aiohttp.ClientSession,
    service: Service,
    new: NewCaller,
    shared_database_url: str,
    tmp_path: Path,
    secrets: dict[str, str],
) -> None:
    variables = environment(with_password(shared_database_url, secrets), tmp_path / "media")
    variables |= {"LOG_LEVEL": "DEBUG", "MEDIA_SIGNING_KEY": secrets["signing key"]}
    caller = await new_caller(http, service)
    assert caller.key
    planted = {**secrets, "a right key": caller.key, "its secret": caller.key[-43:]}
    async with process(variables) as running:
        operations = variables["API_OPERATIONS_PORT"]
        await eventually("it is ready", lambda: readiness(http, operations))
        port = int(variables["API_PORT"])
        at = Caller(
            http,
            f"http://{HOST}:{port}",
            caller.organization_id,
            caller.project_id,
            caller.key,
            caller.key_id,
        )
        told = await ask(at, secrets)
        await malformed(port, secrets["malformed key"])
        for path in ("metrics", "readyz", "livez"):
            async with http.get(f"http://{HOST}:{operations}/{path}") as response:
                told.append(await response.text())
        status, log = await stopped(running)
    assert status == 0
    told += [log, *await kept(service, caller)]
    assert "service_starts" in log
    for what, secret in planted.items():
        assert not [text for text in told if secret in text], what
    require_lines(log)


def with_password(database_url: str, secrets: dict[str, str]) -> str:
    """The same, with a password that the local Postgres does not ask for."""
    scheme, _, rest = database_url.partition("://")
    user, _, place = rest.rpartition("@")
    name = user.partition(":")[0] or "postgres"
    if ":" in user:  # it does ask: its own is the planted one then
        secrets["database password"] = user.partition(":")[2]
        return database_url
    return f"{scheme}://{name}:{secrets['database password']}@{place}"


async def kept(service: Service, caller: Caller) -> list[str]:
    """What is kept of this organization: events that wait, streams, read models, answers."""
    tables = ("event_log.outbox", "event_log.streams", "event_log.idempotency_keys")
    reads = ("read_model.influencers", "read_model.jobs", "read_model.events")
    async with acquire(service.pool) as connection:
        rows: list[Any] = await connection.fetch(
            "select convert_from(value, 'UTF8') from event_log.outbox"
            " union all select convert_from(body, 'UTF8') from event_log.idempotency_keys"
        )
        assert rows
        for table in (*tables, *reads):
            rows += await connection.fetch(
                f"select t::text from {table} t where t::text like '%' || $1 || '%'",
                caller.organization_id,
            )
    assert rows
    return [str(row[0]) for row in rows]


def require_lines(log: str) -> None:
    for line in log.removesuffix("\n").split("\n"):
        assert json.loads(line)["event"] != "forged", line


async def test_a_crash_tells_no_password(tmp_path: Path) -> None:
    """Also where a driver fails on the whole address of the database."""
    wrong = "postgresql://me:planted-password@127.0.0.1:notaport/x"
    variables = environment(wrong, tmp_path / "media")
    async with process(variables) as running:
        try:
            async with asyncio.timeout(5):
                _, log = await running.communicate()
                text = log.decode()
        except TimeoutError:
            _, text = await stopped(running)
    assert "planted-password" not in text
