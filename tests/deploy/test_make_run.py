"""`make run` from its first start to its last, on real parts: one story, two stacks."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.deploy.make_run import MakeRun
from tests.waiting import eventually

DEMO_KEYS = {
    "baseUrl",
    "organizationId",
    "projectId",
    "apiKey",
    "bootstrapServers",
    "databaseUrl",
}
FIRST_START_WITHIN = 150.0
STOPS_WITHIN = 10.0
RESTARTED_WITHIN = 60.0
# 15 s is the promise; twice that here, since other tests may share the machine's cores.
SERVES_WITHIN = 30.0


@pytest.fixture
def run(tmp_path: Path) -> Iterator[MakeRun]:
    """In a folder whose path is long and has spaces in it."""
    folder = tmp_path / "a folder with spaces" / ("and a long name " * 6).strip()
    folder.mkdir(parents=True)
    made = MakeRun(folder / "state")
    yield made
    made.kill_all()


@pytest.fixture
def neighbour(tmp_path: Path) -> Iterator[MakeRun]:
    made = MakeRun(tmp_path / "neighbour")
    yield made
    made.kill_all()


LAST_WORDS = "Ctrl-C stops everything"


async def test_from_the_first_start_to_the_last(
    run: MakeRun, neighbour: MakeRun, tmp_path: Path
) -> None:
    run.start()
    neighbour.start()
    await run.says(LAST_WORDS, FIRST_START_WITHIN)
    await neighbour.says(LAST_WORDS, FIRST_START_WITHIN)

    demo_file = run.state / "demo.json"
    assert set(run.demo) == DEMO_KEYS
    assert stat.S_IMODE(demo_file.stat().st_mode) == 0o600
    assert run.demo["baseUrl"] != neighbour.demo["baseUrl"]
    assert "Ava Chen is ready" in run.said
    influencer = paste_curl(run)["influencerId"]
    assert run.get(f"/v1/influencers/{influencer}")["name"] == "Mika Sol"
    assert neighbour.get(f"/v1/influencers/{influencer}") is None

    await refuses_to_start(
        MakeRun(run.state, output=tmp_path / "second.out"), "Another stack is already running"
    )
    port = int(run.demo["baseUrl"].rpartition(":")[2])
    await refuses_to_start(MakeRun(tmp_path / "third", port), f"Port {port} (API_PORT) is already")

    await comes_back(run, "api")
    assert await eventually("it serves again", whoami(run), within=SERVES_WITHIN)
    await ends_when_interrupted(neighbour)

    run.kill_all()
    assert not run.left_running()
    run.start()
    assert await eventually("its first request is served", whoami(run), within=SERVES_WITHIN)
    assert run.get(f"/v1/influencers/{influencer}")["name"] == "Mika Sol"
    await run.says(LAST_WORDS, SERVES_WITHIN)
    await ends_when_interrupted(run)
    assert "everything is kept" in run.said


def paste_curl(run: MakeRun) -> dict[str, str]:
    command = run.said.partition("Make one of your own:\n\n")[2].partition("\n\n")[0]
    pasted = subprocess.run(
        command, shell=True, capture_output=True, text=True, timeout=30, check=True
    )
    answer: dict[str, str] = json.loads(pasted.stdout)
    return answer


async def refuses_to_start(second: MakeRun, words: str) -> None:
    second.start()
    assert await second.ended(within=30) == 1
    assert words in second.said


async def comes_back(run: MakeRun, service: str) -> None:
    pid = run.pid_of(service)
    os.kill(pid, signal.SIGKILL)
    await run.says(f"{service} ended with -9; starting it again in 0.5 s", RESTARTED_WITHIN)
    await run.says(f"{service} was started again", RESTARTED_WITHIN)
    assert run.pid_of(service) != pid


def whoami(run: MakeRun) -> Callable[[], Awaitable[bool]]:
    async def answers() -> bool:
        return await asyncio.to_thread(run.get, "/v1/whoami") is not None

    return answers


async def ends_when_interrupted(run: MakeRun) -> None:
    run.interrupt()
    assert await run.ended(within=STOPS_WITHIN) == 0
    assert not run.left_running()
