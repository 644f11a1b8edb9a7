"""Records as a consumer gives them, made of events, good ones and bad ones."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import count

from schemas.events import (
    Event,
    EventData,
    InfluencerDrafted,
    InfluencerUpdated,
    headers_of,
    value_of,
)
from services.core.subscriber import Record, StreamKey
from tests.unit.samples import ORGANIZATION_ID, PROFILE, PROJECT_ID, TIME, TRACEPARENT

TOPIC = "influencer.events.v1"
FIRST, SECOND, THIRD = (f"inf_{number:026d}" for number in (1, 2, 3))

_IDS = count(1)


def stream(subject: str) -> StreamKey:
    return StreamKey(TOPIC, f"{ORGANIZATION_ID}/{subject}")


def event(subject: str, sequence: int, data: EventData | None = None) -> Event:
    """By default: drafted, then renamed again and again."""
    if data is None:
        changes = InfluencerUpdated(changes={"name": f"Ava {sequence}"})
        data = InfluencerDrafted(profile=PROFILE) if sequence == 1 else changes
    return Event(
        id=f"evt_{next(_IDS):026d}",
        source="/services/api",
        subject=subject,
        time=TIME,
        sequence=sequence,
        organization_id=ORGANIZATION_ID,
        project_id=PROJECT_ID,
        correlation_id="req_01HXZ9G7KMV2QX8Y1S5RJW3B01",
        causation_id="req_01HXZ9G7KMV2QX8Y1S5RJW3B01",
        traceparent=TRACEPARENT,
        data=data,
    )


def record(of: Event, **headers: str) -> Record:
    """At offset 0; `headers` replaces some, e.g. `ce_type`."""
    written = {**headers_of(of), **headers}
    return Record(
        TOPIC,
        0,
        0,
        of.key.encode(),
        tuple((name, value.encode()) for name, value in written.items()),
        value_of(of),
        0,
    )


def on_log(records: Iterable[Record]) -> Iterator[Record]:
    """The same with offsets, every third of them taken by a marker."""
    offsets = (offset for offset in count() if offset % 3)
    for one, offset in zip(records, offsets, strict=False):
        yield replace(one, offset=offset)
