"""`make run` as a child process: what it says, what it starts, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from deploy.local.process import family, send
from deploy.local.stack import cache_directory
from tests.waiting import eventually


@dataclass
class MakeRun:
    """One state folder; `start` may be called again after an end."""

    state: Path
    api_port: int = 0
    output: Path = field(kw_only=True, default=Path())
    _process: subprocess.Popen[bytes] | None = None
    _said_before: int = 0
    _family: list[psutil.Process] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.output == Path():
            self.output = self.state.with_name(f"{self.state.name}.out")

    def start(self) -> None:
        self._said_before = self.output.stat().st_size if self.output.exists() else 0
        environment = {
            **os.environ,
            "STATE_DIR": str(self.state),
            "API_PORT": str(self.api_port),
            "CACHE_DIR": str(cache_directory()),
        }
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "deploy.local"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        """Since it was started last."""
        return self.output.read_bytes()[self._said_before :].decode()

    async def says(self, words: str, within: float) -> None:
        async def has_said_it() -> bool:
            assert words in self.said or self.is_running(), self.said
            return words in self.said

        try:
            await eventually(words, has_said_it, within)
        except AssertionError as never:
            raise AssertionError(f"{never}; it said:\n{self.said}") from never

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    async def ended(self, within: float) -> int:
        """Its exit status."""

        async def has_ended() -> bool:
            return not self.is_running()

        await eventually("it ends", has_ended, within)
        assert self._process is not None
        return self._process.returncode

    def interrupt(self) -> None:
        assert self._process is not None
        self._family = family(self._process.pid)
        self._process.send_signal(signal.SIGINT)

    def kill_all(self) -> None:
        """kill -9 of the supervisor, which can't react, and of all it started."""
        if self._process is not None and self.is_running():
            self._process.send_signal(signal.SIGSTOP)
            self._family = family(self._process.pid)
            for process in reversed(self._family):
                send(process, signal.SIGKILL)
            self._process.wait()
            psutil.wait_procs(self._family, 10)

    def left_running(self) -> list[psutil.Process]:
        """What it had started when it was ended and that still runs."""
        return [process for process in self._family if is_alive(process)]

    @property
    def demo(self) -> dict[str, str]:
        read: dict[str, str] = json.loads((self.state / "demo.json").read_text())
        return read

    def pid_of(self, part: str) -> int:
        return int(json.loads((self.state / "run" / f"{part}.json").read_text())["pid"])

    def get(self, path: str) -> Any:
        """What the api answers; None while it doesn't."""
        demo = self.demo
        request = urllib.request.Request(
            demo["baseUrl"] + path, headers={"X-Api-Key": demo["apiKey"]}
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                return json.load(response)
        except (OSError, urllib.error.HTTPError):
            return None


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
