"""A part of the stack as a child process that a later run can recognise and stop."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from deploy.local.errors import DiskFullError, LocalStackError, PartFailedError, log_tail

LAUNCHER = Path(__file__).with_name("launch.py")
POLL_SECONDS = 0.02
SPARE_BYTES = 16 * 1024 * 1024
START_TIME_TOLERANCE_SECONDS = 2.0


@dataclass(frozen=True)
class Identity:
    """The user a part runs as when the stack itself runs as root."""

    uid: int
    gid: int
    read_everywhere: bool


class ChildProcess:
    """Starts, signals and waits for one program; on Linux it ends when its parent does.

    The parent is the *thread* that called `start`: call it from one that lives as long as the
    part shall (the main thread, or an executor's that is not shut down before).
    """

    def __init__(
        self, name: str, run_directory: Path, log: Path, stop_signal: signal.Signals
    ) -> None:
        self.name = name
        self.log = log
        self._record = run_directory / f"{name}.json"
        self._stop_signal = stop_signal
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    @property
    def exit_status(self) -> int | None:
        return self._child.poll() if self._child else None

    def is_running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        identity: Identity | None = None,
    ) -> None:
        self.stop_leftover()
        try:
            self._spawn(command, environment, identity)
            self._write_record()
        except OSError as error:
            self.kill()
            raise_if_disk_full(error, self.log.parent)
            raise

    def _spawn(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None,
        identity: Identity | None,
    ) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                launch_command(command, self._stop_signal, identity),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(environment) if environment is not None else None,
                start_new_session=True,
            )

    def wait_until(self, ready: Callable[[], bool], timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not ready():
            if not self.is_running():
                raise failure(self.name, f"ended with {self.exit_status}", self.log)
            if time.monotonic() > deadline:
                self.kill()
                raise failure(self.name, f"was not ready in {timeout:.0f} s", self.log)
            time.sleep(POLL_SECONDS)

    def stop(self, timeout: float = 8.0) -> None:
        """Ask it to end, and make sure that it did."""
        self._end(self._stop_signal, timeout)

    def kill(self) -> None:
        """kill -9, with everything it started."""
        self._end(signal.SIGKILL, timeout=10)

    def _end(self, first: signal.Signals, timeout: float) -> None:
        if self._child is not None:
            self._learn(terminate(family(self._child.pid), first, timeout))
            self._child.wait()
        self._forget()

    def _learn(self, status: int | None) -> None:
        """psutil has waited for it, and then the kernel tells nobody else how it ended."""
        assert self._child is not None
        if self._child.returncode is None and status is not None:
            self._child.returncode = status

    def pause(self) -> None:
        for process in self._family_or_nothing():
            process.suspend()

    def resume(self) -> None:
        for process in self._family_or_nothing():
            process.resume()

    def stop_leftover(self) -> None:
        """Stop what a killed supervisor left behind, if it still is the same process."""
        with contextlib.suppress(OSError, ValueError, KeyError, psutil.NoSuchProcess):
            record = json.loads(self._record.read_text())
            process = psutil.Process(record["pid"])
            if abs(process.create_time() - record["startedAt"]) < START_TIME_TOLERANCE_SECONDS:
                terminate(family(process.pid), self._stop_signal, timeout=8)
        self._forget()

    def _family_or_nothing(self) -> list[psutil.Process]:
        return family(self._child.pid) if self._child else []

    def _write_record(self) -> None:
        assert self._child is not None
        self._record.parent.mkdir(parents=True, exist_ok=True)
        started_at = psutil.Process(self._child.pid).create_time()
        partial = self._record.with_suffix(".partial")
        partial.write_text(json.dumps({"pid": self._child.pid, "startedAt": started_at}))
        partial.replace(self._record)

    def _forget(self) -> None:
        self._record.unlink(missing_ok=True)


def launch_command(
    command: Sequence[str], stop_signal: signal.Signals, identity: Identity | None
) -> list[str]:
    options: dict[str, int | bool] = {"parent": os.getpid(), "signal": int(stop_signal)}
    if identity is not None:
        options |= {
            "uid": identity.uid,
            "gid": identity.gid,
            "readEverywhere": identity.read_everywhere,
        }
    return [sys.executable, "-I", "-S", str(LAUNCHER), json.dumps(options), *command]


def family(pid: int) -> list[psutil.Process]:
    """The process and all it started; children may have process groups of their own."""
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def terminate(processes: list[psutil.Process], first: signal.Signals, timeout: float) -> int | None:
    """Send the signal to the first (all, when it is SIGKILL), wait, then kill what is left.

    How the first ended, as `subprocess` has it, if we were the ones to learn it.
    """
    receivers = processes if first == signal.SIGKILL else processes[:1]
    for process in receivers:
        send(process, first)
    for process in processes:
        send(process, signal.SIGCONT)
    _, alive = psutil.wait_procs(processes, timeout)
    for process in alive:
        send(process, signal.SIGKILL)
    psutil.wait_procs(alive, 5)
    status = getattr(processes[0], "returncode", None) if processes else None
    return None if status is None else int(status)


def send(process: psutil.Process, signal_number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(signal_number)


def failure(part: str, reason: str, log: Path) -> LocalStackError:
    """Why a part failed; on a full disk even its log may not say so any more."""
    out_of_space = os.strerror(errno.ENOSPC) in log_tail(log)
    if out_of_space or shutil.disk_usage(log.parent).free < SPARE_BYTES:
        return DiskFullError(log.parent)
    return PartFailedError(part, reason, log)


def raise_if_disk_full(error: OSError, directory: Path) -> None:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        raise DiskFullError(directory) from error
