"""API8 and what we are made of: `make audit` tells vulnerable from clean from not known."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.security.audit import CLEAN, FAILED, UNREACHABLE, VULNERABLE

HASHES = f"--hash=sha256:{'0' * 64}"
LOCK = f"harmless==1.0 {HASHES}\nholey==2.0 {HASHES}\n"


async def query(request: web.Request) -> web.Response:
    """OSV's answer: one dependency is known to be vulnerable."""
    asked = await request.json()
    if asked["package"]["name"] != "holey":
        return web.json_response({})
    ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.1"}]}]
    affected = [{"package": {"name": "holey", "ecosystem": "PyPI"}, "ranges": ranges}]
    return web.json_response(
        {
            "vulns": [
                {"id": "PYSEC-2026-1", "modified": "2026-01-01T00:00:00Z", "affected": affected}
            ]
        }
    )


@pytest.fixture
async def database() -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_post("/v1/query", query)
    async with TestServer(application) as server:
        yield str(server.make_url("/v1/query"))


async def audit(lock: Path, content: str, database: str) -> tuple[int | None, str]:
    await asyncio.to_thread(lock.write_text, content)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.security.audit", str(lock), "--osv-url", database),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()


async def test_a_vulnerable_dependency_is_found_and_a_clean_lock_passes(
    tmp_path: Path, database: str
) -> None:
    status, output = await audit(tmp_path / "lock", LOCK, database)
    assert status == VULNERABLE, output
    assert "PYSEC-2026-1" in output
    assert "2 dependencies audited, 1 with known vulnerabilities." in output
    assert (await audit(tmp_path / "lock", LOCK.partition("\n")[0], database))[0] == CLEAN


async def test_a_database_that_can_not_be_reached_is_told_in_one_line(tmp_path: Path) -> None:
    status, output = await audit(tmp_path / "lock", LOCK, "http://127.0.0.1:9/v1/query")
    assert status == UNREACHABLE
    told = "The vulnerability database can't be reached: nothing was audited."
    assert output.split("\n") == [told, ""]


async def test_a_lock_that_is_none_is_another_fault(tmp_path: Path, database: str) -> None:
    status, output = await audit(tmp_path / "lock", "what is this?", database)
    assert (status, output.count("\n") < 5) == (FAILED, True)
