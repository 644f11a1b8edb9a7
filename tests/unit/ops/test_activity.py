"""A terminal is told that a command is at work, whichever it is and whatever it waits for."""

import os
import re
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from rich.progress import Progress
from typer.testing import CliRunner

from services.ops import activity
from services.ops.__main__ import ctl
from tests.unit.ops.test_commands import COMMANDS, options_of

CHECKED_BEFORE = {"import"}
"""It reads its file before it asks anybody."""
INSTEAD = {"migrate": "migrate --yes", "grants": "grants --yes", "check-log": "check-log"}


class SlowServer:
    """Takes connections and says nothing; `give_up` ends them all."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                self._connections.append(self._listening.accept()[0])
            except OSError:
                return

    def give_up(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for connection in self._connections:
            connection.close()


@pytest.fixture
def slow() -> Iterator[SlowServer]:
    server = SlowServer()
    yield server
    with suppress(OSError):
        server.give_up()


def example_of(name: str) -> list[str]:
    if name in INSTEAD:
        return INSTEAD[name].split()
    text = " ".join((COMMANDS[name].help or "").split("\n\n"))
    found = re.search(r"Example: influencerctl (.+?)(?= Example:|$)", " ".join(text.split()))
    assert found
    words = shlex.split(found[1].partition(" ||")[0])
    return [*words, "--yes"] if "--yes" in options_of(COMMANDS[name]) else words


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - CHECKED_BEFORE))
def test_every_command_says_that_it_is_at_work(
    name: str, slow: SlowServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls: list[str] = []

    class Seen(Progress):
        def start(self) -> None:
            calls.append("shown")
            slow.give_up()

        def stop(self) -> None:
            calls.append("gone")

    monkeypatch.setattr(activity, "Progress", Seen)
    monkeypatch.setattr(activity, "SILENT_FOR", 0.05)
    monkeypatch.setattr(activity, "_is_terminal", lambda: True)
    monkeypatch.chdir(tmp_path)
    environment = {
        "DATABASE_URL": f"postgresql://x:x@{slow.address}/x",
        "KAFKA_BOOTSTRAP_SERVERS": slow.address,
        "MEDIA_STORE_URL": tmp_path.as_uri(),
    }
    answer = CliRunner().invoke(ctl, example_of(name), env=environment)
    assert answer.exit_code in (1, 3), answer.output
    assert calls[0] == "shown", answer.output
    assert calls[-1] == "gone"


SHOWN_AT_ONCE = """
import asyncio, typer
from services.ops import activity, terminal
activity.SILENT_FOR = 0.0

async def work():
    await asyncio.sleep(0.3)
    terminal.say("an answer")
    activity.name_phase("thinking")
    await asyncio.sleep(0.3)

terminal.run(work())
"""


def test_a_terminal_shows_it_and_a_piped_answer_is_left_alone() -> None:
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
    assert answer.stdout == "an answer\n"
    assert "thinking" in shown
    assert "0:00:00" in shown


def test_without_a_terminal_nothing_is_said() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", SHOWN_AT_ONCE], capture_output=True, text=True, check=True
    )
    assert (answer.stdout, answer.stderr) == ("an answer\n", "")
