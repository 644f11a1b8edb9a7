"""Projections told as given / when / then.

`given(*history).when(*records)`: the read models hold `history`, then the records arrive. What
comes of it is a `Changes` to look at.
"""

from collections.abc import Collection
from dataclasses import dataclass

from schemas.events import INFLUENCER_TOPIC, Event, EventData, headers_of, value_of
from services.core.domain.state import InfluencerStream
from services.core.readmodel.apply import Changes, apply
from services.core.readmodel.records import Headers, LogRecord, StreamId, read_record
from tests.unit.domain.specification import envelope, stream_of
from tests.unit.samples import INFLUENCER_ID, ORGANIZATION_ID

KEY = f"{ORGANIZATION_ID}/{INFLUENCER_ID}"
STREAM = StreamId(INFLUENCER_TOPIC, KEY)


@dataclass
class Raw:
    """A record as a consumer gives it."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    offset: int = 0
    topic: str = INFLUENCER_TOPIC
    partition: int = 0


def raw_of(event: Event, offset: int = 0) -> Raw:
    headers = tuple((name, value.encode()) for name, value in headers_of(event).items())
    return Raw(event.key.encode(), value_of(event), headers, offset)


def record_of(data: EventData, sequence: int, subject: str = INFLUENCER_ID) -> LogRecord:
    return read_record(raw_of(envelope(data, sequence, subject), offset=sequence - 1))


def poison(offset: int = 0, key: str = KEY) -> LogRecord:
    return read_record(Raw(key.encode(), b"{}", (), offset))


def given(*history: EventData) -> "Given":
    return Given({KEY: stream_of(*history)} if history else {})


@dataclass(frozen=True)
class Given:
    states: dict[str, InfluencerStream]

    def when(self, *records: LogRecord, quarantined: Collection[StreamId] = ()) -> Changes:
        return apply(records, self.states, quarantined)
