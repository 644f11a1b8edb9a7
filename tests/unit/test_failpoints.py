"""A fail point ends the process when and where it is named, and else does nothing."""

import os
import signal
import subprocess
import sys

import pytest

from services.core.failpoints import met

PASSES = """
from services.core.failpoints import fail_point
for number in range(3):
    fail_point("here")
    print(number, flush=True)
"""


@pytest.mark.parametrize(
    ("fail_at", "status", "passed"),
    [
        ("", 0, "0\n1\n2\n"),
        ("elsewhere", 0, "0\n1\n2\n"),
        ("here", -signal.SIGKILL, ""),
        ("elsewhere,here:2", -signal.SIGKILL, "0\n"),
    ],
)
def test_ends_the_process_where_it_is_told(fail_at: str, status: int, passed: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PASSES],
        env={**os.environ, "FAIL_AT": fail_at},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (status, passed)
    assert ended.stderr == (f"{met('here')}\n" if status else "")


def test_stops_the_process_until_it_is_woken() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PASSES],
        env={**os.environ, "STOP_AT": "here:2"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        process.send_signal(signal.SIGCONT)
        out, _ = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "0\n1\n2\n")
