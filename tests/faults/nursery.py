"""Starts services by forking: a service is up without importing what all of them import.

A process of its own, `python -m tests.faults.nursery`, that has imported the libraries and the
schemas, and nothing of the services themselves: those may be started mutated, or skewed. It takes
orders on its standard input, a socket, one JSON object a line. A child is a process like any other:
its own session, environment, log, and end. When the socket closes, all of them are killed.
"""

import gc
import json
import os
import runpy
import signal
import socket
import sys
from importlib import import_module
from typing import NamedTuple

from deploy.local.launch import die_with_parent

IMPORTED = (
    "aiohttp.web",
    "aiokafka.admin",
    "asyncpg",
    "obstore",
    "orjson",
    "PIL.Image",
    "pgqueuer",
    "prometheus_client",
    "pydantic_settings",
    "schemas.channels",
    "schemas.rest",
    "structlog",
    "uvloop",
)


class Order(NamedTuple):
    """What a child runs: a module with arguments, and where what it says goes."""

    arguments: list[str]
    environment: dict[str, str]
    log: str


class Nursery:
    """Answers an order with the pid of a child, and a pid with its exit status, null for none."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._alive: set[int] = set()
        self._ended: dict[int, int] = {}
        signal.signal(signal.SIGCHLD, self._reap)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever asks here

    def serve(self) -> Order | None:
        """In a child: what it is to run. In the nursery: None, when nobody asks any more."""
        with self._connection.makefile("rb") as asked:
            for line in asked:
                asked_for = json.loads(line)
                if isinstance(asked_for, int):
                    self._answer(self._status_of(asked_for))
                elif not self._fork():
                    return Order(**asked_for)
        for pid in self._alive:
            os.kill(pid, signal.SIGKILL)
        return None

    def _fork(self) -> int:
        """0 in the child."""
        nursery, pid = os.getpid(), os.fork()
        if pid:
            self._ended.pop(pid, None)  # pids come round again
            self._alive.add(pid)
            self._answer(pid)
        else:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.setsid()
            die_with_parent(nursery, signal.SIGKILL)
        return pid

    def _status_of(self, pid: int) -> int | None:
        self._reap()
        return self._ended.get(pid)

    def _reap(self, *_: object) -> None:
        """At once, or who waits for a process to be gone would see it still."""
        for pid in list(self._alive):
            try:
                found, status = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:  # a signal came in between, and what it called was quicker
                continue
            if found:
                self._alive.discard(pid)
                self._ended[pid] = os.waitstatus_to_exitcode(status)

    def _answer(self, value: int | None) -> None:
        self._connection.sendall(json.dumps(value).encode() + b"\n")


def become(order: Order) -> None:
    """Ends as `python -m` with these arguments would."""
    with open(os.devnull, "rb") as nothing, open(order.log, "ab") as log:
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source.fileno(), target)
    os.environ.clear()
    os.environ.update(order.environment)
    sys.argv = list(order.arguments)
    runpy.run_module(order.arguments[0], run_name="__main__", alter_sys=True)


def main() -> None:
    for name in IMPORTED:
        import_module(name)
    gc.freeze()
    with socket.socket(fileno=os.dup(0)) as connection:
        order = Nursery(connection).serve()
    if order is not None:
        become(order)


if __name__ == "__main__":
    main()
