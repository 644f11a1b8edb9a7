"""The real process: `python -m services.api` starts, answers, tells how it is, and stops."""

import asyncio
import os
import signal
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import aiohttp
import orjson

from deploy.local.ports import any_free_port
from services.core.freshness import Freshness
from services.core.postgres import acquire
from services.core.readmodel.health import report_freshness
from tests.integration.api.calling import Caller, new_caller
from tests.integration.api.serving import HOST, Service
from tests.processes import at_work
from tests.waiting import eventually

NOWHERE = f"{HOST}:9"


def environment(database_url: str, media: Path) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", ""),
        "DATABASE_URL": database_url,
        "KAFKA_BOOTSTRAP_SERVERS": NOWHERE,
        "MEDIA_STORE_URL": media.as_uri(),
        "MEDIA_SIGNING_KEY": "a signing key of 32 characters at least",
        "PUBLIC_BASE_URL": "https://media.example.com/",
        "API_PORT": str(any_free_port()),
        "API_OPERATIONS_PORT": str(any_free_port()),
    }


def process(
    variables: dict[str, str],
) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
    return at_work(
        "services.api",
        env=variables,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )


async def stopped(running: asyncio.subprocess.Process) -> tuple[int, str]:
    """The exit status and the log, after SIGTERM."""
    running.send_signal(signal.SIGTERM)
    async with asyncio.timeout(10):
        _, log = await running.communicate()
    assert running.returncode is not None
    return running.returncode, log.decode()


async def readiness(http: aiohttp.ClientSession, port: str) -> tuple[int, str] | None:
    try:
        async with http.get(f"http://{HOST}:{port}/readyz") as response:
            return response.status, await response.text()
    except aiohttp.ClientConnectionError:
        return None


async def test_the_process_serves_without_kafka_and_stops_when_told(
    http: aiohttp.ClientSession,
    service: Service,
    shared_database_url: str,
    tmp_path: Path,
) -> None:
    variables = environment(shared_database_url, tmp_path / "media")
    elsewhere: Caller = await new_caller(http, service)
    async with acquire(service.pool) as connection:
        await report_freshness(connection, "one", Freshness("fresh"))
        await report_freshness(connection, "two", Freshness("lagging", 7, 3.5))
    async with process(variables) as running:
        operations = variables["API_OPERATIONS_PORT"]
        status, body = await eventually("it is ready", lambda: readiness(http, operations))
        assert status == 200
        said = orjson.loads(body)["projection"]
        assert (said["state"], said["events"], said["seconds"]) == ("lagging", 7, 3.5)
        assert (said["quarantinedStreams"], said["rebuilding"]) == (0, None)
        caller = elsewhere.at(_service_at(service, int(variables["API_PORT"])))

        async def answers() -> bool:
            try:
                return (await caller.get("/v1/whoami")).status == 200
            except aiohttp.ClientConnectionError:
                return False

        await eventually("it answers", answers)
        created = await caller.create()
        shown = await elsewhere.get(f"/v1/influencers/{created['influencerId']}")
        assert shown.json["status"] == "pending"
        async with http.get(f"http://{HOST}:{operations}/livez") as response:
            assert response.status == 200
        status, log = await stopped(running)
    assert status == 0, log
    assert caller.key
    assert caller.key not in log


def _service_at(service: Service, port: int) -> Service:
    return replace(service, port=port)


async def test_a_start_without_postgres_is_not_ready_and_says_why(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    variables = environment(f"postgresql://nobody@{NOWHERE}/nothing", tmp_path / "media")
    async with process(variables) as running:
        operations = variables["API_OPERATIONS_PORT"]
        status, report = await eventually("it reports", lambda: readiness(http, operations))
        assert status == 503
        assert "postgres" in report
        assert await stopped(running)


async def test_a_start_with_bad_settings_names_them_all_and_ends(tmp_path: Path) -> None:
    variables = environment(f"postgresql://nobody:secret@{NOWHERE}/nothing", tmp_path / "media")
    wrong = {"MEDIA_SIGNING_KEY": "short", "API_PORT": "70000", "PUBLIC_BASE_URL": "nowhere"}
    variables.update(wrong)
    del variables["KAFKA_BOOTSTRAP_SERVERS"]
    async with process(variables) as running, asyncio.timeout(20):
        _, log = await running.communicate()
    assert running.returncode == 2
    for name in (*wrong, "KAFKA_BOOTSTRAP_SERVERS"):
        assert name in log.decode()
    assert "secret" not in log.decode()
