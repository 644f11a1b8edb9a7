"""A library for subscribers to the events: typed, in order, each handled as if it came once.

    subscriber = Subscriber("newsletter", "kafka:9092", SqliteStore("newsletter.db"))

    @subscriber.on(InfluencerReady)
    async def announce(received: Received[InfluencerReady], db: sqlite3.Connection) -> None:
        db.execute("insert into ready values (?, ?)", (received.stream.key, received.sequence))

    subscriber.run_until_signal()

Needs aiokafka, pydantic, python-ulid and `schemas`; nothing of this service's database or of its
other code, so the folder can be copied under any name. `postgres_store` is apart, because it needs
asyncpg. What it does and why: docs/subscribing.md.
"""

from .faults import (
    FaultKind,
    FetchStalled,
    GapDetected,
    HandlerFailed,
    NewerVersion,
    Poison,
    PositionMoved,
    StoreUnavailable,
    StreamFault,
    StreamNotParked,
    TopicMissing,
    TryLater,
    UndecodableRecord,
)
from .handlers import HandlersMixed
from .observer import Observer
from .parking import ParkedStream, ParkingPlace
from .places import Partition, Start, StreamKey
from .processing import RetryPolicy
from .records import Received, Record
from .replay import read_events
from .sqlite_store import SqliteStore
from .status import Health, Status
from .store import MemoryStore, Parking, Position, Skip, Store, StreamState, Transaction
from .subscriber import EVENT_TOPICS, Subscriber

__all__ = [
    "EVENT_TOPICS",
    "FaultKind",
    "FetchStalled",
    "GapDetected",
    "HandlerFailed",
    "HandlersMixed",
    "Health",
    "MemoryStore",
    "NewerVersion",
    "Observer",
    "ParkedStream",
    "Parking",
    "ParkingPlace",
    "Partition",
    "Poison",
    "Position",
    "PositionMoved",
    "Received",
    "Record",
    "RetryPolicy",
    "Skip",
    "SqliteStore",
    "Start",
    "Status",
    "Store",
    "StoreUnavailable",
    "StreamFault",
    "StreamKey",
    "StreamNotParked",
    "StreamState",
    "Subscriber",
    "TopicMissing",
    "Transaction",
    "TryLater",
    "UndecodableRecord",
    "read_events",
]
