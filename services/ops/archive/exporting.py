"""The log into a file; one that was killed goes on where it was."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from aiokafka.structs import ConsumerRecord, TopicPartition

from services.core.clock import Clock, timestamp
from services.core.failpoints import fail_point
from services.core.readmodel.positions import Partition
from services.core.replay.reading import LogIncomplete, Span, log_spans, read_chunks
from services.ops.archive.file import LineWriter, seal, whole_frames
from services.ops.archive.lines import (
    ArchivedRecord,
    Header,
    MalformedLine,
    Selection,
    footer_line,
    header_line,
    is_footer,
    read_header,
    read_record_line,
    record_line,
)
from services.ops.archive.tally import LogFault, Tally
from services.ops.connections import kafka_consumer
from services.ops.faults import CommandFault
from services.ops.progress import Meter
from services.ops.settings import OperationsSettings

CHUNK = 2000


@dataclass(frozen=True, slots=True)
class Exported:
    """`resumed`: records that an earlier, unfinished export had written already."""

    records: int
    resumed: int
    streams: int
    topics: dict[str, int]
    sha256: str
    fault_count: int
    faults: tuple[LogFault, ...]


@dataclass(slots=True)
class _Unfinished:
    """What a file holds so far, up to byte `end`. `reached` maps a partition to the offset after
    its last record."""

    header: Header
    tally: Tally
    reached: dict[tuple[str, int], int]
    has_footer: bool = False
    end: int = 0


def unfinished(path: Path) -> Path:
    return path.with_name(f"{path.name}.unfinished")


async def export_log(
    settings: OperationsSettings,
    path: Path,
    selection: Selection,
    clock: Clock,
    meter: Meter,
) -> Exported:
    """Writes what is on the log now to `path`, which is there only once it is whole; `meter` hears
    of offsets.

    Raises CommandFault when `path` exists, the log lacks a topic or its beginning, or an
    unfinished export to the same path selected something else; DependencyUnavailable.
    """
    part = _part_of(path)
    export = _resumed(part, selection)
    if export is None:
        export = _begun(
            part, Header(timestamp(clock()), selection, await _spans(settings, selection))
        )
    resumed = export.tally.records
    meter.total = _length(span for _, _, span in _places(export))
    if not export.has_footer:
        await _write_rest(settings, part, export, meter)
    seal(part)
    os.replace(part, path)
    return _exported(export.tally, resumed)


async def look_before_export(
    settings: OperationsSettings, path: Path, selection: Selection
) -> tuple[int, bool]:
    """How many offsets an export would still read, and whether it would go on with an unfinished
    one; nothing is written. Raises as `export_log` does."""
    part = _part_of(path)
    export = _unfinished_export(part, selection)
    if export is None:
        spans = await _spans(settings, selection)
        return _length(Span(*span) for each in spans.values() for span in each), False
    return _length(span for _, _, span in _remaining(export)), True


def _part_of(path: Path) -> Path:
    if path.exists():
        raise CommandFault(f"{path} exists already")
    return unfinished(path)


def _begun(part: Path, header: Header) -> _Unfinished:
    line = header_line(header)
    with part.open("xb") as file:
        writer = LineWriter(file)
        writer.write(line)
        writer.flush()
    return _Unfinished(header, _tally(header, line), {})


def _resumed(part: Path, selection: Selection) -> _Unfinished | None:
    """What a killed export has left, less the frame that it was writing."""
    export = _unfinished_export(part, selection)
    if export is not None:
        with part.open("r+b") as file:
            file.truncate(export.end)
    else:
        part.unlink(missing_ok=True)
    return export


def _unfinished_export(part: Path, selection: Selection) -> _Unfinished | None:
    if not part.exists():
        return None
    end, lines = whole_frames(part)
    first = next(lines, None)
    if first is None:
        return None
    try:
        export = _read_again(first, lines)
    except MalformedLine as fault:
        raise CommandFault(f"{part} is not an unfinished export ({fault}): delete it") from fault
    if export.header.selection != selection:
        raise CommandFault(f"{part} is an unfinished export of something else: delete it")
    export.end = end
    return export


def _read_again(first: bytes, lines: Iterator[bytes]) -> _Unfinished:
    header = read_header(first)
    export = _Unfinished(header, _tally(header, first), {})
    for line in lines:
        if is_footer(line):
            export.has_footer = True
            break
        record = read_record_line(line)
        export.tally.add(record, line)
        export.reached[record.topic, record.partition] = record.offset + 1
    return export


def _tally(header: Header, line: bytes) -> Tally:
    tally = Tally(begins_anywhere=header.selection.since is not None)
    tally.add_line(line)
    return tally


async def _write_rest(
    settings: OperationsSettings, part: Path, export: _Unfinished, meter: Meter
) -> None:
    wanted = _wanted(export.header.selection)
    remaining = list(_remaining(export))
    done = (meter.total or 0) - _length(span for _, _, span in remaining)
    with part.open("ab") as file:
        writer = LineWriter(file)
        for topic, number, span in remaining:
            partition = Partition(settings.topics.named(topic), number)
            async for chunk in read_chunks(settings.kafka, {partition: span}, size=CHUNK):
                records = [_archived(record, topic) for record in chunk.records]
                for record in filter(wanted, records):
                    line = record_line(record)
                    export.tally.add(record, line)
                    writer.write(line)
                meter.reach(done + chunk.positions.get(partition, span.start) - span.start)
                fail_point("export.chunk")
            done += span.length
        writer.write(footer_line(export.tally.footer()))
        writer.flush()


def _places(export: _Unfinished) -> list[tuple[str, int, Span]]:
    """All of them, in the order of the file."""
    return [
        (topic, number, Span(*span))
        for topic, spans in export.header.spans.items()
        for number, span in enumerate(spans)
    ]


def _remaining(export: _Unfinished) -> Iterator[tuple[str, int, Span]]:
    """What was begun last is where the rest begins."""
    places = _places(export)
    begun = [n for n, (*place, _) in enumerate(places) if tuple(place) in export.reached]
    for topic, number, span in places[max(begun, default=0) :]:
        yield topic, number, Span(export.reached.get((topic, number), span.start), span.end)


def _length(spans: Iterable[Span]) -> int:
    return sum(span.length for span in spans)


def _wanted(selection: Selection) -> Callable[[ArchivedRecord], bool]:
    if selection.influencer is None:
        return lambda _: True
    ending = f"/{selection.influencer}".encode()
    return lambda record: record.key is not None and record.key.endswith(ending)


def _archived(record: ConsumerRecord, topic: str) -> ArchivedRecord:
    return ArchivedRecord(
        topic,
        record.partition,
        record.offset,
        record.timestamp,
        record.key,
        tuple(record.headers),
        record.value,
    )


async def _spans(
    settings: OperationsSettings, selection: Selection
) -> dict[str, list[tuple[int, int]]]:
    names = {settings.topics.named(topic): topic for topic in selection.topics}
    try:
        found = await log_spans(settings.kafka, names, whole=selection.since is None)
    except LogIncomplete as fault:
        raise CommandFault(str(fault)) from fault
    starts = await _starts(settings, found, selection.since)
    spans: dict[str, list[tuple[int, int]]] = {topic: [] for topic in selection.topics}
    for partition, span in sorted(found.items()):
        spans[names[partition.topic]].append((starts.get(partition, span.start), span.end))
    return spans


async def _starts(
    settings: OperationsSettings, spans: Mapping[Partition, Span], since: str | None
) -> dict[Partition, int]:
    """Where each partition's records since then begin; its end where there are none."""
    if since is None:
        return {}
    moment = max(0, int(datetime.fromisoformat(since).timestamp() * 1000))
    async with kafka_consumer(settings.kafka) as consumer:
        places = await consumer.offsets_for_times(
            {TopicPartition(*partition): moment for partition in spans}
        )
    return {
        Partition(*partition): spans[Partition(*partition)].end if place is None else place.offset
        for partition, place in places.items()
    }


def _exported(tally: Tally, resumed: int) -> Exported:
    footer = tally.footer()
    return Exported(
        tally.records,
        resumed,
        footer["streams"],
        footer["topics"],
        footer["sha256"],
        tally.fault_count,
        tuple(tally.faults),
    )
