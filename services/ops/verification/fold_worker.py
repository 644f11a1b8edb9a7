"""A process that folds its share of the log (`python -m services.ops.verification.fold_worker`)."""

import resource
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.core.garbage import spare_collections
from services.core.readmodel.positions import Partition
from services.core.readmodel.records import LogRecord, StreamId, read_record
from services.core.readmodel.skips import Skip, Skips
from services.core.replay.processes import Report, serve_order
from services.core.replay.reading import Chunk, Span, read_chunks
from services.ops.verification.fold import LogFold, later_event
from services.ops.verification.store import FoldStore

CHUNK = 2000
"""Records."""


@dataclass(frozen=True, slots=True)
class Place:
    """What is before `position` is in the read models, what is before `settled` in the streams."""

    topic: str
    partition: int
    end: int
    position: int
    settled: int


@dataclass(frozen=True, slots=True)
class HeldBack:
    """A stream whose records are in quarantine from the offset `first` on."""

    topic: str
    key: str
    first: int


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A record that an operator has skipped; `value` in Latin-1, which spells any bytes."""

    topic: str
    partition: int
    offset: int
    key: str
    sequence_after: int
    headers: str
    value: str | None


@dataclass(frozen=True, slots=True)
class FoldOrder:
    """`kept` is how many streams may be in memory, `store` the file to leave the others in.

    A chunk has up to `chunk_bytes` of values.
    """

    bootstrap_servers: str
    places: list[Place]
    quarantined: list[HeldBack]
    skipped: list[PassedOver]
    store: str
    kept: int
    chunk_bytes: int

    @staticmethod
    def of_json(read: dict[str, Any]) -> "FoldOrder":
        places = [Place(**place) for place in read.pop("places")]
        quarantined = [HeldBack(**held) for held in read.pop("quarantined")]
        skipped = [PassedOver(**passed) for passed in read.pop("skipped")]
        return FoldOrder(places=places, quarantined=quarantined, skipped=skipped, **read)

    @property
    def skips(self) -> Skips:
        return {
            (each.topic, each.partition, each.offset): Skip(
                StreamId(each.topic, each.key),
                each.sequence_after,
                each.headers,
                None if each.value is None else each.value.encode("latin-1"),
            )
            for each in self.skipped
        }


async def carry_out(read: dict[str, Any], report: Report) -> None:
    order = FoldOrder.of_json(read)
    places = {Partition(place.topic, place.partition): place for place in order.places}
    store = FoldStore.create(Path(order.store))
    held_back = {StreamId(held.topic, held.key): held.first for held in order.quarantined}
    fold = LogFold(store, order.kept, held_back, order.skips)
    spans = {partition: Span(0, place.end) for partition, place in places.items()}
    async for chunk in read_chunks(
        order.bootstrap_servers, spans, size=CHUNK, max_bytes=order.chunk_bytes
    ):
        folded, later = _divided(chunk, places)
        fold.add(folded)
        store.keep_later(
            event
            for record in later
            if (event := later_event(record, _is_settled(record, places))) is not None
        )
        report({"folded": len(folded), "later": len(later), "memory": peak_memory()})
    fold.finish()
    store.close()
    report({"folded": 0, "later": 0, "memory": peak_memory(), "passed": sorted(fold.passed)})


def peak_memory() -> int:
    """Bytes this process has had in memory at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _divided(
    chunk: Chunk, places: Mapping[Partition, Place]
) -> tuple[list[LogRecord], list[LogRecord]]:
    folded: list[LogRecord] = []
    later: list[LogRecord] = []
    for raw in chunk.records:
        record = read_record(raw)
        position = places[Partition(raw.topic, raw.partition)].position
        (folded if record.offset < position else later).append(record)
    return folded, later


def _is_settled(record: LogRecord, places: Mapping[Partition, Place]) -> bool:
    return record.offset < places[Partition(record.stream.topic, record.partition)].settled


def main() -> None:
    spare_collections()
    serve_order(carry_out)


if __name__ == "__main__":
    main()
