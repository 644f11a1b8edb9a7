"""The project's own services as supervised child processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from deploy.local.errors import PartFailedError
from deploy.local.ports import LOOPBACK
from deploy.local.process import ChildProcess


class Service:
    """One of `services` as a child process, with an operations port that tells how it is."""

    def __init__(
        self,
        name: str,
        environment: Mapping[str, str],
        operations_port: int,
        state_directory: Path,
    ) -> None:
        self.name = name
        self.operations_port = operations_port
        self.log = state_directory / "logs" / f"{name}.log"
        self._command = [sys.executable, "-m", f"services.{name}"]
        self._environment = {**os.environ, **environment}
        self._process = ChildProcess(name, state_directory / "run", self.log, signal.SIGTERM)

    @property
    def exit_status(self) -> int | None:
        return self._process.exit_status

    def is_running(self) -> bool:
        return self._process.is_running()

    def begin(self) -> None:
        self._process.start(self._command, self._environment)

    def is_ready(self) -> bool:
        return get_status(f"http://{LOOPBACK}:{self.operations_port}/readyz") == 200

    def wait_until_ready(self, timeout: float) -> None:
        self._process.wait_until(self.is_ready, timeout)

    def stop(self) -> None:
        # Less than the whole of it, so that Kafka and Postgres end within 10 s too.
        self._process.stop(timeout=5)


def stop_all(services: list[Service]) -> None:
    with ThreadPoolExecutor(max(1, len(services))) as pool:
        list(pool.map(lambda service: service.stop(), services))


def start_all(services: list[Service], timeout: float = 40) -> None:
    for service in services:
        service.begin()
    deadline = time.monotonic() + timeout
    for service in services:
        service.wait_until_ready(max(1.0, deadline - time.monotonic()))


def get_status(url: str) -> int | None:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            status: int = response.status
            return status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def run_operation(
    arguments: list[str], environment: Mapping[str, str], log: Path, timeout: float = 60
) -> str:
    """One `python -m services.ops …`; returns what it printed."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
        finished = subprocess.run(
            [sys.executable, "-m", "services.ops", *arguments],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stream,
            timeout=timeout,
            check=False,
        )
        stream.write(b"" if finished.returncode == 0 else finished.stdout)
    if finished.returncode != 0:
        raise PartFailedError(f"`influencerctl {arguments[0]}`", "failed", log)
    return finished.stdout.decode()
