"""An exported log into the empty topics of another cluster, each record exactly once.

How many of the file's records are written is committed as a consumer group's offset within the
transaction of the records themselves (KIP-98), under a group that is named after the file's hash:
so an import that was killed goes on exactly where it was, and only with the same file.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import islice

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from services.core.errors import DependencyUnavailable
from services.core.eventlog.connection import kafka_options
from services.core.eventlog.read import partitions_of, stop_client
from services.core.failpoints import fail_point
from services.core.readmodel.positions import Partition
from services.core.replay.reading import LogIncomplete, Span, log_spans, read_chunks
from services.ops.archive.checking import CheckedFile, records_of
from services.ops.archive.file import DamagedFile
from services.ops.archive.lines import ArchivedRecord
from services.ops.connections import kafka_consumer
from services.ops.faults import CommandFault
from services.ops.settings import OperationsSettings

START_TIMEOUT = 60.0
"""Seconds; a killed import's transaction is ended first."""
ROUND_TIMEOUT = 60.0
STOP_TIMEOUT = 3.0
COORDINATOR_PATIENCE = 10.0
CHUNK = 2000

IMPORT_GROUP = "influencer-import"
"""Groups of this name and a file's hash say how far an import is; they consume nothing."""

Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Target:
    """`partitions` of each topic of the file; `done`: how many of its records are there already."""

    partitions: Mapping[str, int]
    done: int


async def look_at_target(settings: OperationsSettings, file: CheckedFile) -> Target:
    """What is there now, beside what a killed import may have left undecided.

    Raises CommandFault when a topic is missing, or holds anything but a part of this import.
    """
    return await _look(settings, file, decided=False)


async def _look(settings: OperationsSettings, file: CheckedFile, *, decided: bool) -> Target:
    partitions = {topic: await _partition_count(settings, topic) for topic in file.header.spans}
    done = await _done(settings, file)
    await _require_only(settings, file, done, decided=decided)
    return Target(partitions, done)


async def import_log(
    settings: OperationsSettings,
    file: CheckedFile,
    *,
    batch_size: int,
    advance: Advance = lambda _: None,
) -> int:
    """Writes what is not there yet; how many records that was.

    Raises CommandFault as `look_at_target` does, and when the file is not the one that was checked
    any more; DependencyUnavailable.
    """
    producer = _producer(settings)
    try:
        async with asyncio.timeout(START_TIMEOUT):
            # Fences an import that is still at work, and ends the transaction of a killed one.
            await producer.start()
        target = await _look(settings, file, decided=True)
        advance(target.done)
        written = 0
        for batch in _batches(islice(records_of(file.path), target.done, None), batch_size):
            written += len(batch)
            async with asyncio.timeout(ROUND_TIMEOUT):
                await _write(producer, settings, file, target, batch, target.done + written)
            advance(len(batch))
        return written
    except DamagedFile as fault:
        raise CommandFault(f"{file.path}: {fault}; its import is not whole") from fault
    except (KafkaError, OSError, TimeoutError) as fault:
        reason = f"{type(fault).__name__}: {fault}; begin again, it goes on where it was"
        raise DependencyUnavailable("kafka", reason) from fault
    finally:
        await stop_client(producer, STOP_TIMEOUT)


async def _write(
    producer: AIOKafkaProducer,
    settings: OperationsSettings,
    file: CheckedFile,
    target: Target,
    batch: Sequence[ArchivedRecord],
    done: int,
) -> None:
    await producer.begin_transaction()
    await _send(producer, settings, target, batch)
    progress = {_progress_partition(settings, file): OffsetAndMetadata(done, "")}
    await producer.send_offsets_to_transaction(progress, _group(settings, file))
    fail_point("import.sent")
    file.require_unchanged(whole=done == file.records)
    await producer.commit_transaction()
    fail_point("import.committed")


async def _send(
    producer: AIOKafkaProducer,
    settings: OperationsSettings,
    target: Target,
    batch: Sequence[ArchivedRecord],
) -> None:
    """A commit succeeds even after a record of the transaction failed: each is looked at first."""
    sent = []
    try:
        for record in batch:
            sent.append(
                await producer.send(
                    settings.topics.named(record.topic),
                    record.value,
                    record.key,
                    partition=_partition(record, target),
                    timestamp_ms=record.timestamp if record.timestamp >= 0 else None,
                    headers=list(record.headers),
                )
            )
    finally:
        results = await asyncio.gather(*sent, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


def _partition(record: ArchivedRecord, target: Target) -> int | None:
    """By the key, as the relay does; a record without one stays where it was."""
    if record.key is not None:
        return None
    return record.partition % target.partitions[record.topic]


def _producer(settings: OperationsSettings) -> AIOKafkaProducer:
    return AIOKafkaProducer(
        bootstrap_servers=settings.kafka,
        client_id="influencerctl-import",
        transactional_id=settings.topics.named(IMPORT_GROUP),
        transaction_timeout_ms=int(ROUND_TIMEOUT * 1000),
        request_timeout_ms=8_000,
        acks="all",
        linger_ms=0,
        max_batch_size=256 * 1024,
        max_request_size=4 * 1024 * 1024,
        **kafka_options(),
    )


async def _partition_count(settings: OperationsSettings, topic: str) -> int:
    name = settings.topics.named(topic)
    async with kafka_consumer(settings.kafka) as consumer:
        count = len(await partitions_of(consumer, name))
    if count == 0:
        raise CommandFault(f"there is no topic {name}: run `influencerctl topics create`")
    return count


async def _done(settings: OperationsSettings, file: CheckedFile) -> int:
    group = _group(settings, file)
    async with kafka_consumer(settings.kafka, group) as consumer:
        try:
            async with asyncio.timeout(COORDINATOR_PATIENCE):
                return await consumer.committed(_progress_partition(settings, file)) or 0
        except TimeoutError as fault:
            reason = f"the coordinator of group {group} does not answer"
            raise DependencyUnavailable("kafka", reason) from fault


async def _require_only(
    settings: OperationsSettings, file: CheckedFile, done: int, *, decided: bool
) -> None:
    """That the topics hold `done` records, no more and no fewer.

    Unless `decided`, markers of the last transactions may still be on their way.
    """
    found = await _count(settings, file, done, decided=decided)
    if found > done:
        where = "holds events already" if done == 0 else "holds more than this import has written"
        raise CommandFault(f"the log of this cluster {where}: import needs empty topics")
    if found < done and decided:
        raise CommandFault(
            f"the log of this cluster has lost events: {done:,} were imported, {found:,} are there"
        )


async def _count(
    settings: OperationsSettings, file: CheckedFile, enough: int, *, decided: bool
) -> int:
    """The committed records of the file's topics; counted no further than past `enough`."""
    found = 0
    spans = await _spans(settings, file, decided=decided)
    # Closed at once: its consumer would outlive the loop otherwise.
    async with aclosing(read_chunks(settings.kafka, spans, size=CHUNK)) as chunks:
        async for chunk in chunks:
            found += len(chunk.records)
            if found > enough:
                break
    return found


async def _spans(
    settings: OperationsSettings, file: CheckedFile, *, decided: bool
) -> dict[Partition, Span]:
    try:
        spans = await log_spans(
            settings.kafka, [settings.topics.named(t) for t in file.header.spans]
        )
    except LogIncomplete as fault:
        raise CommandFault(str(fault)) from fault
    if decided:
        return spans
    async with kafka_consumer(settings.kafka) as consumer:
        ends = await consumer.end_offsets([TopicPartition(*partition) for partition in spans])
    return {p: Span(span.start, ends[TopicPartition(*p)]) for p, span in spans.items()}


def _group(settings: OperationsSettings, file: CheckedFile) -> str:
    return settings.topics.named(f"{IMPORT_GROUP}.{file.digest[:32]}")


def _progress_partition(settings: OperationsSettings, file: CheckedFile) -> TopicPartition:
    return TopicPartition(settings.topics.named(next(iter(file.header.spans))), 0)


def _batches(records: Iterable[ArchivedRecord], size: int) -> Iterator[list[ArchivedRecord]]:
    remaining = iter(records)
    while batch := list(islice(remaining, size)):
        yield batch
