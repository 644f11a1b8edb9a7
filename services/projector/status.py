"""What the projector is doing, for readiness and metrics."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from aiokafka import TopicPartition
from prometheus_client import Counter, Gauge, Histogram

from services.core.errors import DependencyUnavailable
from services.core.eventlog.gauge import Behind
from services.core.freshness import UNKNOWN, Freshness, State
from services.core.postgres import Pool, acquire
from services.core.readmodel.health import Upkeep
from services.core.readmodel.project import Batch, Projected
from services.core.service import NotReady

EVENTS = Counter("projector_events", "Events folded into the read models")
QUARANTINED = Counter("projector_quarantined_records", "Records put into quarantine")
PARKED = Counter("projector_quarantined_streams", "Streams that entered quarantine")
BATCH_SECONDS = Histogram(
    "projector_batch_seconds",
    "Duration of a batch's transaction",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15),
)
POSITION = Gauge("projector_position", "Next offset to fold", ["topic", "partition"])
LAG = Gauge("projector_lag", "Events that wait to be folded", ["topic", "partition"])
LAG_SECONDS = Gauge("projector_lag_seconds", "Age of the oldest event that waits to be folded")
STATE = Gauge("projector_state", "1 for the state that the projector is in", ["state"])
PARKED_NOW = Gauge("projector_streams_in_quarantine", "Streams that are in quarantine now")
REBUILDING = Gauge("projector_rebuilding", "1 while read models are being rebuilt")


@dataclass(slots=True)
class ProjectorStatus:
    """`joined` is true from the first assignment on, also an empty one: others hold all then.

    `under_way` counts what waits for Postgres, not for Kafka; `upkeep` is None where Postgres has
    not told it lately.
    """

    joined: bool = False
    kafka_fault: str | None = "not connected yet"
    postgres_fault: str | None = None
    terms: int = 0
    moved: int = 0
    under_way: int = 0
    freshness: Freshness = UNKNOWN
    upkeep: Upkeep | None = None
    projected: Projected = field(default_factory=Projected)

    def record(self, batch: Batch, projected: Projected, seconds: float) -> None:
        self.projected.add(projected)
        EVENTS.inc(projected.applied)
        QUARANTINED.inc(projected.quarantined)
        PARKED.inc(projected.streams_parked)
        BATCH_SECONDS.observe(seconds)
        for partition, move in batch.moves.items():
            POSITION.labels(partition.topic, partition.partition).set(move.next_offset)

    def judge(self, freshness: Freshness) -> None:
        self.freshness = freshness
        for state in get_args(State):
            STATE.labels(state).set(state == freshness.state)
        LAG_SECONDS.set(freshness.seconds)

    def record_lags(self, behind: Mapping[TopicPartition, Behind]) -> None:
        LAG.clear()  # of partitions that others have now
        for partition, waiting in behind.items():
            LAG.labels(partition.topic, partition.partition).set(waiting.events)

    def keep_up(self, upkeep: Upkeep) -> None:
        self.upkeep = upkeep
        PARKED_NOW.set(upkeep.quarantined_streams)
        REBUILDING.set(upkeep.rebuild is not None and upkeep.rebuild.state != "compared")

    async def report(self) -> dict[str, Any]:
        upkeep = self.upkeep.as_json() if self.upkeep else {}
        return {"projection": {**self.freshness.as_json(), **upkeep}}

    async def check_freshness(self) -> None:
        """Raises NotReady when it is stuck: lagging is no fault, and waiting makes it better."""
        if self.freshness.state == "stuck":
            raise NotReady(str(self.freshness))

    async def check_kafka(self) -> None:
        if self.kafka_fault:
            raise DependencyUnavailable("kafka", self.kafka_fault)
        if not self.joined:
            raise DependencyUnavailable("kafka", "no partitions are assigned yet")


async def check_postgres(pool: Pool) -> None:
    async with acquire(pool) as connection:
        await connection.execute("select 1")
