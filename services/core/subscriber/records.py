"""Records as they arrive, and the typed events that handlers get."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from schemas.events import EVENT_TYPES, Event, EventData, UndecodableEvent, UnknownEventType, decode

from .faults import NewerVersion, StreamFault, UndecodableRecord
from .places import Partition, StreamKey

Headers = Sequence[tuple[str, bytes | None]]

Data = TypeVar("Data", bound=EventData)
OtherData = TypeVar("OtherData", bound=EventData)
Data_co = TypeVar("Data_co", bound=EventData, covariant=True)

KNOWN_TYPES = frozenset(name for name, _ in EVENT_TYPES)
_SEQUENCE = re.compile("[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True)
class Record:
    """A Kafka record, kept as it came."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    headers: Headers
    value: bytes | None
    timestamp: int
    """Milliseconds since 1970, as Kafka has it."""

    @property
    def place(self) -> Partition:
        return Partition(self.topic, self.partition)

    @property
    def stream(self) -> StreamKey:
        key = (self.key or b"").decode(errors="backslashreplace").replace("\x00", "\\x00")
        return StreamKey(self.topic, key)


@dataclass(frozen=True, slots=True)
class Received(Generic[Data_co]):
    """An event of which `data` is the type that the handler asked for.

    `event` is the whole envelope (subject, time, ids of correlation and causation), `record`
    where it came from.
    """

    event: Event
    data: Data_co
    record: Record

    @property
    def id(self) -> str:
        return self.event.id

    @property
    def sequence(self) -> int:
        """The event's place in its stream, from 1 without a gap."""
        return self.event.sequence

    @property
    def stream(self) -> StreamKey:
        return self.record.stream


@dataclass(frozen=True, slots=True)
class Arrival:
    """What the headers of a record say; its data is read only if somebody handles it.

    A foreign record, one without any CloudEvents header, has neither type, sequence nor fault.
    """

    record: Record
    type: str = ""
    sequence: int | None = None
    fault: StreamFault | None = None

    @property
    def is_foreign(self) -> bool:
        return not self.type and self.fault is None


def record_of(consumed: Any) -> Record:
    """`consumed` is aiokafka's ConsumerRecord of bytes."""
    return Record(
        consumed.topic,
        consumed.partition,
        consumed.offset,
        consumed.key,
        tuple(consumed.headers),
        consumed.value,
        consumed.timestamp,
    )


def arrival_of(record: Record) -> Arrival:
    """Reads the headers; never raises."""
    attributes = {
        name: (value or b"").decode(errors="backslashreplace") for name, value in record.headers
    }
    if not any(name.startswith("ce_") for name in attributes):
        return Arrival(record)
    try:
        event_type, sequence = attributes["ce_type"], attributes["ce_sequence"]
        key = f"{attributes['ce_organizationid']}/{attributes['ce_subject']}"
    except KeyError as missing:
        reason = f"header {missing.args[0]} is missing"
        return Arrival(record, fault=UndecodableRecord(reason))
    if not _SEQUENCE.fullmatch(sequence):
        return Arrival(
            record, event_type, fault=UndecodableRecord("ce_sequence is not a decimal from 1")
        )
    if key != record.stream.key:
        fault = UndecodableRecord(f"the key is not that of its event, {key}")
        return Arrival(record, event_type, fault=fault)
    return Arrival(record, event_type, int(sequence))


def received(record: Record) -> Received[EventData]:
    """The typed event of `record`. Raises NewerVersion or UndecodableRecord."""
    try:
        event = decode(record.headers, record.value)
    except UnknownEventType as unknown:
        headers = {name: (value or b"").decode() for name, value in record.headers}
        if headers["ce_type"] in KNOWN_TYPES:
            raise NewerVersion(headers["ce_type"], headers["ce_dataschema"]) from unknown
        raise UndecodableRecord(unknown.reason) from unknown
    except UndecodableEvent as fault:
        raise UndecodableRecord(fault.reason) from fault
    return Received(event, event.data, record)


def type_names(types: Iterable[type[EventData]]) -> Collection[str]:
    """The names of `types` on the wire."""
    return tuple(model.event_type for model in types)
