"""Free ports on loopback, remembered so that a restarted stack keeps its addresses."""

from __future__ import annotations

import json
import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"


def is_free(port: int) -> bool:
    with socket.socket() as listener:
        # As servers do: a closed connection in TIME_WAIT does not make a port unusable.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def answers(port: int) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1):
            return True
    except OSError:
        return False


class RememberedPorts:
    """Hands out the port of a purpose: last time's when it is still free, else a new one."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._ports = read_ports(file)

    def take(self, purpose: str) -> int:
        port = self._ports.get(purpose)
        if port is None or not is_free(port):
            port = self._unused()
            self._ports[purpose] = port
            self._write()
        return port

    def _unused(self) -> int:
        while (port := any_free_port()) in self._ports.values():
            pass
        return port

    def _write(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        partial = self._file.with_suffix(".partial")
        partial.write_text(json.dumps(self._ports, indent=2))
        partial.replace(self._file)


def any_free_port() -> int:
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        port: int = listener.getsockname()[1]
        return port


def read_ports(file: Path) -> dict[str, int]:
    try:
        return {str(purpose): int(port) for purpose, port in json.loads(file.read_text()).items()}
    except (OSError, ValueError, AttributeError):
        return {}
