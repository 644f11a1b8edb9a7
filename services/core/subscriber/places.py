"""Where things are: partitions, streams, and where to begin reading."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple


class Partition(NamedTuple):
    topic: str
    partition: int


class StreamKey(NamedTuple):
    """One ordered stream: a topic, and the key that all its records have.

    The key is `<organizationId>/<id>`, e.g. of an influencer.
    """

    topic: str
    key: str


@dataclass(frozen=True, slots=True)
class Start:
    """Where reading begins in a partition of which the store knows no position."""

    at_end: bool = False
    moment: datetime | None = None
    offsets: Mapping[Partition, int] = field(default_factory=dict)

    @classmethod
    def beginning(cls) -> "Start":
        """With the first event there is: every stream is seen whole."""
        return cls()

    @classmethod
    def end(cls) -> "Start":
        """With what is written from now on."""
        return cls(at_end=True)

    @classmethod
    def time(cls, moment: datetime) -> "Start":
        """With the first event written at `moment` or later; raises ValueError if it is naive."""
        if moment.tzinfo is None:
            raise ValueError("the moment has no time zone")
        return cls(moment=moment)

    @classmethod
    def at(cls, offsets: Mapping[Partition, int]) -> "Start":
        """At these offsets; partitions that are not named begin at their beginning."""
        return cls(offsets=offsets)


BEGINNING = Start.beginning()
