"""A service as a process that was forked from what it would import, and so is up sooner."""

import atexit
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import cast

from deploy.local.process import POLL_SECONDS, ChildProcess, Identity


class ForkedProcess(ChildProcess):
    """Runs `python -m` with a module of ours; everything else is as `ChildProcess` has it."""

    def _spawn(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None,
        identity: Identity | None,
    ) -> None:
        assert list(command[:2]) == [sys.executable, "-m"]
        assert environment is not None
        assert identity is None
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.touch()
        child = _nursery().run(command[2:], environment, self.log)
        self._child = cast("subprocess.Popen[bytes]", child)

    def _learn(self, status: int | None) -> None:
        """Its parent is the nursery, and tells."""


class _Child:
    """As much of `subprocess.Popen` as `ChildProcess` knows."""

    def __init__(self, nursery: "_NurseryClient", pid: int) -> None:
        self._nursery = nursery
        self.pid = pid

    def poll(self) -> int | None:
        return self._nursery.ask(self.pid)

    def wait(self) -> int:
        while (status := self.poll()) is None:
            time.sleep(POLL_SECONDS)
        return status


class _NurseryClient:
    """One request at a time, from whichever thread."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "tests.faults.nursery"]
        with theirs:
            self._process = subprocess.Popen(command, stdin=theirs.fileno())
        self._socket = ours
        self._answers = ours.makefile("rb")
        self._lock = threading.Lock()
        atexit.register(self.close)

    def run(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> _Child:
        order = {
            "arguments": list(arguments),
            "environment": dict(environment),
            "log": str(log.absolute()),
        }
        pid = self.ask(order)
        assert pid is not None
        return _Child(self, pid)

    def ask(self, question: object) -> int | None:
        with self._lock:
            self._socket.sendall(json.dumps(question).encode() + b"\n")
            answer = self._answers.readline()
        assert answer, "the nursery has ended"
        value: int | None = json.loads(answer)
        return value

    def close(self) -> None:
        self._answers.close()
        self._socket.close()
        self._process.wait()


@cache
def _nursery() -> _NurseryClient:
    return _NurseryClient()
