"""What the content service has parked: it keeps a parking place of its own, as subscribers do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from services.core.clock import system_clock, timestamp
from services.core.errors import DependencyUnavailable
from services.core.readmodel.records import StreamId
from services.core.subscriber import (
    FaultKind,
    Observer,
    ParkedStream,
    ParkingPlace,
    Skip,
    StoreUnavailable,
    StreamKey,
    StreamNotParked,
)
from services.core.subscriber.postgres_store import PostgresStore
from services.ops.connections import database_pool
from services.ops.events import read_event
from services.ops.faults import CommandFault
from services.ops.lag import CONTENT, CONTENT_SUBSCRIPTION
from services.ops.quarantine import KeptRecord
from services.ops.settings import OperationsSettings

COUNTED = 10_000
"""Records of a stream; nobody counts on."""


@dataclass(frozen=True, slots=True)
class Parked:
    """`records` are at most COUNTED."""

    stream: StreamId
    records: int
    by: ParkedStream

    def as_json(self) -> dict[str, Any]:
        parking = self.by.parking
        return {
            "topic": self.stream.topic,
            "stream": self.stream.key,
            "records": self.records,
            "kind": parking.kind.value,
            "reason": parking.reason,
            "since": timestamp(parking.since),
            "attempts": parking.attempts,
            "retryAt": timestamp(parking.retry_at) if parking.retry_at else None,
        }


@asynccontextmanager
async def content_parking(settings: OperationsSettings) -> AsyncIterator[ParkingPlace]:
    """Raises DependencyUnavailable, NotMigrated, and CommandFault for what isn't parked."""
    try:
        async with database_pool(settings.database, CONTENT) as pool:
            name = settings.topics.named(CONTENT_SUBSCRIPTION)
            yield ParkingPlace(name, PostgresStore(pool), system_clock, Observer())
    except StoreUnavailable as fault:
        raise DependencyUnavailable("postgres", str(fault)) from fault
    except StreamNotParked as fault:
        raise CommandFault("the content service has gone on with it meanwhile") from fault


async def parked_streams(parking: ParkingPlace) -> list[Parked]:
    """The longest first; without those that are only being replayed."""
    return [
        Parked(StreamId(*one.stream), len(await parking.records(one.stream, COUNTED)), one)
        for one in await parking.streams()
        if one.parking.kind is not FaultKind.REPLAY
    ]


async def parked_records(parking: ParkingPlace, parked: Parked) -> list[KeptRecord]:
    """In the order in which they are handled."""
    records = await parking.records(StreamKey(*parked.stream), COUNTED)
    reasons = [parked.by.parking.reason, *["waits behind it"] * len(records)]
    return [
        KeptRecord(parked.stream.key, read_event(record), why, {})
        for record, why in zip(records, reasons, strict=False)
    ]


def skip_json(skip: Skip) -> dict[str, Any]:
    return {
        "topic": skip.stream.topic,
        "stream": skip.stream.key,
        "firstSequence": skip.first,
        "lastSequence": skip.last,
        "skippedBecause": skip.reason,
        "skippedAt": timestamp(skip.at),
    }
