"""Hooks for logs, metrics and alerts: override what you want to hear of."""

from schemas.events import EventData

from .faults import StreamFault
from .places import Partition, StreamKey
from .records import Received, Record
from .store import Skip


class Observer:
    """Called on the subscriber's event loop, after the fact: be quick, and don't raise.

    `ignored` is called for types nobody handles, `repeated` for what was handled before,
    `foreign` for records that are no events of anybody; all three need no action. `parked` is
    called when a stream leaves the flow or fails once more (`fault` says why), `resumed` when it
    is back.
    """

    def handled(self, event: Received[EventData]) -> None: ...

    def ignored(self, record: Record) -> None: ...

    def repeated(self, record: Record) -> None: ...

    def foreign(self, record: Record) -> None: ...

    def parked(self, stream: StreamKey, fault: StreamFault) -> None: ...

    def resumed(self, stream: StreamKey) -> None: ...

    def skipped(self, skip: Skip) -> None: ...

    def waiting(self, fault: Exception, seconds: float) -> None:
        """Everything waits for `seconds`: the store, Kafka or what a handler needs is away."""

    def assigned(self, partitions: frozenset[Partition]) -> None: ...

    def lag(self, partition: Partition, events: int) -> None:
        """At most that many events are behind: the markers of transactions are counted too."""
