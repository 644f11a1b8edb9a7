"""What can be wrong: with one stream, with the subscriber's surroundings, or as a handler says."""

from collections.abc import Collection
from enum import StrEnum

from .places import Partition


class FaultKind(StrEnum):
    """Why a stream is parked; as it stands in the store."""

    GAP = "gap"
    UNDECODABLE = "undecodable"
    NEWER_VERSION = "newer_version"
    HANDLER = "handler"
    REPLAY = "replay"
    """Nothing is wrong: the stream's history waits to be handled again."""


class StreamFault(Exception):
    """One stream can't go on; it is parked, and every other stream goes on."""

    kind: FaultKind


class GapDetected(StreamFault):
    """Events are missing: the log, or what the store remembers of it, was damaged."""

    kind = FaultKind.GAP

    def __init__(self, expected: int, got: int) -> None:
        super().__init__(f"expected sequence {expected}, got {got}")
        self.expected = expected
        self.got = got


class UndecodableRecord(StreamFault):
    """A record with CloudEvents headers that is not an event of the contract."""

    kind = FaultKind.UNDECODABLE


class NewerVersion(StreamFault):
    """A version of a handled type that this code can't read; it is tried again at each start."""

    kind = FaultKind.NEWER_VERSION

    def __init__(self, event_type: str, dataschema: str) -> None:
        super().__init__(f"{event_type} in a version this subscriber can't read: {dataschema}")
        self.event_type = event_type
        self.dataschema = dataschema


class HandlerFailed(StreamFault):
    """A handler raised `cause` at its `attempt`, counted from 1."""

    kind = FaultKind.HANDLER

    def __init__(self, attempt: int, cause: Exception) -> None:
        super().__init__(f"{type(cause).__name__}: {cause}")
        self.attempt = attempt
        self.cause = cause


class Poison(Exception):
    """Raised by a handler: this event will never do, so park its stream without more attempts."""


class TryLater(Exception):
    """Raised by a handler: what every event needs is away. Nothing is parked, all of it waits."""


class StoreUnavailable(Exception):
    """Raised by a store that does not answer just now; everything waits until it does."""


class PositionMoved(Exception):
    """Somebody else moved the position: nothing of the transaction may stay."""

    def __init__(self, partitions: Collection[Partition]) -> None:
        named = ", ".join(f"{topic}/{partition}" for topic, partition in sorted(partitions))
        super().__init__(f"the position of {named} is not the one that was read from")
        self.partitions = partitions


class TopicMissing(Exception):
    def __init__(self, topic: str) -> None:
        super().__init__(f"topic {topic} does not exist")
        self.topic = topic


class FetchStalled(Exception):
    """The log goes on behind the consumer's position, yet nothing arrives."""

    def __init__(self, partition: Partition, position: int, end: int, seconds: float) -> None:
        super().__init__(
            f"{partition.topic}/{partition.partition}: nothing arrived for {seconds:.0f} s"
            f" at {position}, the end is {end}"
        )
        self.partition = partition


class StreamNotParked(LookupError):
    """There is nothing of this stream to retry or to skip."""
