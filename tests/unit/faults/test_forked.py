"""A forked process is one like any other: it speaks, ends, and is stopped and killed."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.faults.forked import ForkedProcess
from tests.waiting import eventually

SERVES = ("http.server", "0", "--bind", "127.0.0.1")


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ForkedProcess]:
    made = ForkedProcess("one", tmp_path / "run", tmp_path / "one.log", signal.SIGTERM)
    yield made
    made.kill()


def start(process: ForkedProcess, *module: str) -> psutil.Process:
    process.start([sys.executable, "-m", *module], dict(os.environ))
    assert process.pid is not None
    return psutil.Process(process.pid)


async def until_ended(process: ForkedProcess) -> int | None:
    async def has_ended() -> bool:
        return not process.is_running()

    await eventually("it ends", has_ended)
    return process.exit_status


@pytest.mark.parametrize(
    ("module", "status", "said"),
    [
        (("json.tool", "--help"), 0, "usage: "),
        (("json.tool", "--no-such-option"), 2, "unrecognized arguments: --no-such-option"),
        (("no_such_module",), 1, "No module named"),
    ],
)
async def test_it_ends_as_its_module_does(
    process: ForkedProcess, module: tuple[str, ...], status: int, said: str
) -> None:
    start(process, *module)
    assert await until_ended(process) == status
    assert said in process.log.read_text()


async def test_it_is_a_process_of_its_own(process: ForkedProcess) -> None:
    running = start(process, *SERVES)

    async def leads_its_session() -> bool:
        return os.getsid(running.pid) == running.pid

    await eventually("it has a session of its own", leads_its_session)
    process.pause()

    async def is_stopped() -> bool:
        return running.status() == psutil.STATUS_STOPPED

    await eventually("it stops", is_stopped)
    process.resume()
    assert process.is_running()


@pytest.mark.parametrize(("end", "status"), [("kill", -signal.SIGKILL), ("stop", -signal.SIGTERM)])
def test_it_is_gone_when_it_was_ended(process: ForkedProcess, end: str, status: int) -> None:
    running = start(process, *SERVES)
    getattr(process, end)()
    assert process.exit_status == status
    assert not running.is_running()


def test_one_that_was_ended_may_be_started_again(process: ForkedProcess) -> None:
    first = start(process, *SERVES)
    process.kill()
    assert start(process, *SERVES).pid != first.pid
    assert process.is_running()
