"""A proxy before Postgres that loses the answer to a commit: it happened, and nobody is told."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.faults.proxy import Link, Proxy

EVENT_ID = b"evt_"
"""Who sends one writes events. The relay names those that it deletes, on connections of its own."""
RELAY = b"relay-"
BEFORE_ITS_NAME = 512
"""Bytes in which a client has said what it is."""
ERROR, COMPLETE, READY = b"E", b"C", b"Z"
IDLE = b"I"


@dataclass
class CommitCutter(Proxy):
    """Cuts as often as it was asked to; `cut` counts what Postgres had answered and we dropped."""

    wanted: int = 0
    cut: int = 0

    def _link(self) -> Link:
        return _PostgresLink(self)


@dataclass
class _PostgresLink(Link):
    cutter: CommitCutter
    sent: int = 0
    appends: bool = False
    is_relay: bool = False
    unread: bytearray = field(default_factory=bytearray)
    failed: bool = False

    def see(self, content: bytes, towards_server: bool) -> None:
        if towards_server:
            self._hear_the_client(content)
        elif self._commits(content) and self.cutter.wanted:
            self.cutter.wanted -= 1
            self.cutter.cut += 1
            raise ConnectionAbortedError

    def _hear_the_client(self, content: bytes) -> None:
        if self.sent < BEFORE_ITS_NAME:
            self.is_relay = self.is_relay or RELAY in content
        self.sent += len(content)
        self.appends = self.appends or EVENT_ID in content

    def _commits(self, content: bytes) -> bool:
        """Whether the answer of a transaction that wrote events ends here, and well."""
        committed = False
        for kind, body in self._messages(content):
            self.failed = (
                self.failed or kind == ERROR or (kind, body[:8]) == (COMPLETE, b"ROLLBACK")
            )
            if (kind, body) == (READY, IDLE):
                committed = self.appends and not self.failed and not self.is_relay
                self.appends = self.failed = False
        return committed

    def _messages(self, content: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Each whole one: its kind, and what is in it."""
        self.unread += content
        if bytes(self.unread[:1]) in (b"N", b"S") and self.sent <= 8:
            del self.unread[:1]  # the answer to whether it speaks TLS has no length
        while len(self.unread) >= 5:
            end = 1 + int.from_bytes(self.unread[1:5])
            if len(self.unread) < end:
                return
            yield bytes(self.unread[:1]), bytes(self.unread[5:end])
            del self.unread[:end]
