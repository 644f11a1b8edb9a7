"""The whole of `verify`: a snapshot, the log folded up to its positions, and the comparison.

1. Where the log ends, so that all before it is known to be in the streams of the snapshot.
2. A snapshot of the database, with the positions that the read models record.
3. Where the log ends now: the events up to there, and those in the snapshot's outbox, are all that
   a row of the snapshot can be ahead of the positions by.
4. Processes fold the log, each its share of the partitions, onto disk; then compare, each its range
   of the keys.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from services.core.postgres import Connection
from services.core.readmodel.positions import Partition
from services.core.readmodel.records import StreamId
from services.core.readmodel.repeats import REPEATED
from services.core.readmodel.skips import Place as SkippedPlace
from services.core.readmodel.skips import Skip, Skips, find_skips
from services.core.replay.processes import carry_out_in_processes
from services.core.replay.reading import LogIncomplete, Span, log_spans, shares
from services.ops.faults import CommandFault
from services.ops.progress import progress
from services.ops.settings import OperationsSettings
from services.ops.verification.compare import POSITIONS, QUARANTINE
from services.ops.verification.compare_worker import CompareOrder
from services.ops.verification.differences import Difference, difference
from services.ops.verification.fold import HELD_BACK
from services.ops.verification.fold_worker import FoldOrder, HeldBack, PassedOver, Place
from services.ops.verification.report import Report, Waiting
from services.ops.verification.snapshot import (
    HIGHEST,
    LOWEST,
    Snapshot,
    find_quarantined,
    read_outbox,
    read_positions,
    read_quarantine,
    taken_snapshot,
)
from services.ops.verification.store import FoldStore, FoldStores, QuarantinedRecord

FOLD_WORKER = "services.ops.verification.fold_worker"
COMPARE_WORKER = "services.ops.verification.compare_worker"

PROCESS_BYTES = 160 * 1024 * 1024
"""What a process needs besides the streams that it keeps: code, what it fetched, a chunk."""
STREAM_BYTES = 24 * 1024
"""A stream in memory: an influencer with four images, and its job."""
LEAST_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Options:
    """`memory` is in bytes, for each process; `limit` for the differences named of each model."""

    workers: int
    memory: int
    limit: int

    @property
    def kept(self) -> int:
        return max(LEAST_KEPT, (self.memory - PROCESS_BYTES) // STREAM_BYTES)


@dataclass(frozen=True, slots=True)
class Known:
    """What the snapshot says of how far the log is folded."""

    snapshot: Snapshot
    places: Mapping[Partition, Place]
    quarantined: Mapping[StreamId, int]
    skips: Skips


async def verify(settings: OperationsSettings, options: Options) -> Report:
    """Raises CommandFault, DependencyUnavailable, WorkerFailed."""
    report = Report(options.limit)
    with TemporaryDirectory(prefix="influencerctl-verify-") as folder:
        settled = await _spans(settings)
        async with taken_snapshot(settings.database) as (connection, snapshot):
            positions = await read_positions(connection)
            quarantined = await find_quarantined(connection)
            places = _places(settled, positions, await _spans(settings), report)
            outbox = await _copy_outbox(connection, Path(folder) / "outbox")
            known = Known(snapshot, places, quarantined, await find_skips(connection))
            report.skipped = len(known.skips)
            folded, passed = await _fold(settings, options, known, Path(folder), report)
            stores = FoldStores([*folded, outbox])
            _list_waiting(FoldStores([outbox]), FoldStores(folded), report)
            await _compare_quarantine(connection, stores, report)
            orders = _compare_orders(settings, options, known, stores, [*folded, outbox], passed)
            await _compare(orders, report, stores.count("folded") + stores.count("assets"))
    report.join()
    return report


async def _spans(settings: OperationsSettings) -> dict[Partition, Span]:
    try:
        return await log_spans(settings.kafka, settings.topics.events)
    except LogIncomplete as fault:
        raise CommandFault(str(fault)) from fault


def _places(
    settled: Mapping[Partition, Span],
    positions: Mapping[Partition, int],
    spans: Mapping[Partition, Span],
    report: Report,
) -> dict[Partition, Place]:
    for partition, position in positions.items():
        span = spans.get(partition)
        if span is None or position > span.end:
            end = {"next_offset": span.end} if span else None
            key = f"{partition.topic}/{partition.partition}"
            report.count_difference(difference(POSITIONS, key, end, {"next_offset": position}))
    return {
        partition: Place(*partition, span.end, positions.get(partition, 0), settled[partition].end)
        for partition, span in spans.items()
    }


async def _copy_outbox(connection: Connection, path: Path) -> Path:
    store = FoldStore.create(path)
    async for events in read_outbox(connection):
        store.keep_later(events)
    store.close()
    return path


async def _fold(
    settings: OperationsSettings, options: Options, known: Known, folder: Path, report: Report
) -> tuple[list[Path], set[str]]:
    """The files of the fold, and the keys of streams of which an event was skipped."""
    spans = {partition: Span(0, place.end) for partition, place in known.places.items()}
    dealt = shares(spans, options.workers)
    paths = [folder / f"fold-{number}" for number in range(len(dealt))]
    orders = [
        FoldOrder(
            settings.kafka,
            [known.places[partition] for partition in share],
            [HeldBack(*stream, first) for stream, first in known.quarantined.items()],
            [_passed_over(place, skip) for place, skip in known.skips.items()],
            str(path),
            options.kept,
            options.memory // 32,
        )
        for share, path in zip(dealt, paths, strict=True)
    ]
    # Markers take offsets too: there are fewer records than that.
    total = sum(span.length for span in spans.values())
    passed: set[str] = set()
    with _timed(report, "fold_seconds"), progress("folding the log", total) as meter:

        def heard(_: int, said: Mapping[str, Any]) -> None:
            report.folded += said["folded"]
            report.later += said["later"]
            passed.update(said.get("passed", ()))
            report.memory = max(report.memory, said["memory"])
            meter.reach(report.folded + report.later)

        await carry_out_in_processes(FOLD_WORKER, orders, heard)
    return paths, passed


def _passed_over(place: SkippedPlace, skip: Skip) -> PassedOver:
    value = None if skip.value is None else skip.value.decode("latin-1")
    return PassedOver(*place, skip.stream.key, skip.sequence_after, skip.headers, value)


def _list_waiting(outbox: FoldStores, log: FoldStores, report: Report) -> None:
    for key in outbox.later_keys(LOWEST, HIGHEST):
        on_log = {event.sequence for event in log.later_events(key)}
        folded = log.sequence_of(key)
        waiting = sorted(
            event.sequence
            for event in outbox.later_events(key)
            if event.sequence > folded and event.sequence not in on_log
        )
        if waiting:
            report.count_waiting(Waiting(key, waiting[0], len(waiting)))


def _compare_orders(
    settings: OperationsSettings,
    options: Options,
    known: Known,
    stores: FoldStores,
    paths: Iterable[Path],
    passed: Iterable[str],
) -> list[CompareOrder]:
    keys = {stream.key for stream in known.quarantined}
    keys |= {r.key for r in stores.quarantine() if r.reason not in (HELD_BACK, REPEATED)}
    ranges = [
        _ranges(stores.bounds(table, options.workers), options.workers)
        for table in ("folded", "assets")
    ]
    return [
        CompareOrder(
            settings.database,
            known.snapshot,
            settings.kafka,
            [str(path) for path in paths],
            sorted(keys),
            sorted(passed),
            streams,
            assets,
            options.limit,
        )
        for streams, assets in zip(*ranges, strict=True)
    ]


def _ranges(bounds: list[str], count: int) -> list[tuple[str, str]]:
    """All keys in `count` ranges; the last ones are empty where there are too few bounds."""
    edges = [LOWEST, *bounds, *[HIGHEST] * (count - len(bounds))]
    return list(pairwise(edges))


async def _compare(orders: list[CompareOrder], report: Report, total: int) -> None:
    """`total` is about how many streams and assets there are to compare."""
    with _timed(report, "compare_seconds"), progress("comparing", total, unit="rows") as meter:

        def heard(_: int, said: Mapping[str, Any]) -> None:
            if "compared" in said:
                report.compared += said["compared"]
                meter.reach(report.compared)
            else:
                report.take(said)

        await carry_out_in_processes(COMPARE_WORKER, orders, heard)


async def _compare_quarantine(connection: Connection, stores: FoldStores, report: Report) -> None:
    """What the fold could not apply must be in quarantine, and nothing else."""
    folded = stores.quarantine()
    expected = next(folded, None)
    async for found in read_quarantine(connection):
        while expected is not None and expected.place < found.place:
            _take_absent(expected, report)
            expected = next(folded, None)
        if expected is not None and expected.place == found.place:
            report.count_damage(found)
            expected = next(folded, None)
        else:
            report.count_difference(_difference(None, found))
    while expected is not None:
        _take_absent(expected, report)
        expected = next(folded, None)


def _take_absent(expected: QuarantinedRecord, report: Report) -> None:
    """A record that is not in quarantine."""
    report.count_damage(expected)
    report.count_difference(_difference(expected, None))


def _difference(log: QuarantinedRecord | None, found: QuarantinedRecord | None) -> Difference:
    place = (log or found or ())[:3]
    key = "/".join(map(str, place))
    return difference(QUARANTINE, key, log and log._asdict(), found and found._asdict())


@contextmanager
def _timed(report: Report, name: str) -> Iterator[None]:
    begun = perf_counter()
    yield
    setattr(report, name, perf_counter() - begun)
