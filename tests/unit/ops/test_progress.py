"""What is told of a long command's progress, where there is no terminal."""

import os
import subprocess
import sys

import pytest

from services.ops.progress import progress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_is_quick_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with progress("reading", 10, clock=clock) as meter:
        clock.now += 1.9
        meter.advance(10)
    assert capsys.readouterr() == ("", "")


def test_a_line_now_and_then_with_rate_and_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with progress("reading", 5000, clock=clock) as meter:
        clock.now += 2
        meter.advance(1000)
        clock.now += 4
        meter.advance(1000)
        clock.now += 2
        meter.reach(4000)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "reading: 1,000 of 5,000 events, 500/s, 8 s left",
        "reading: 4,000 of 5,000 events, 500/s, 2 s left",
    ]


def test_without_a_total(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with progress("copying", unit="rows", clock=clock) as meter:
        clock.now += 4
        meter.advance(2000)
    assert capsys.readouterr().err == "copying: 2,000 rows, 500/s\n"


SHOWN_AT_ONCE = """
import typer
from services.ops import progress
progress.SILENT_FOR = 0.0
with progress.progress("reading", 10) as meter:
    meter.advance()
    typer.echo("an answer")
    meter.make_way()
    meter.advance()
    print("another", flush=True)
"""


def test_a_bar_on_the_terminal_leaves_a_piped_answer_alone() -> None:
    screen, terminal = os.openpty()
    answer = subprocess.run(
        [sys.executable, "-c", SHOWN_AT_ONCE],
        env={**os.environ, "TERM": "xterm"},
        stdout=subprocess.PIPE,
        stderr=terminal,
        text=True,
        check=True,
    )
    os.close(terminal)
    shown = os.read(screen, 65536).decode()
    os.close(screen)
    assert answer.stdout == "an answer\nanother\n"
    assert "reading" in shown
    assert "answer" not in shown
