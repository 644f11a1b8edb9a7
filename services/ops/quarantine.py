"""Streams in quarantine and records that were skipped, as operators look at them."""

from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import asyncpg

from schemas.ids import InvalidIdentifier, Prefix, parse_identifier
from services.core.clock import timestamp
from services.core.errors import DependencyUnavailable
from services.core.postgres import Connection
from services.core.readmodel.positions import PositionMoved
from services.core.readmodel.quarantine import NotQuarantined, stored_record
from services.core.readmodel.records import StreamId
from services.ops.events import ReadEvent, read_event
from services.ops.faults import CommandFault, OperatorMistake

LIST = """
select distinct on (topic, stream_key, repeated) topic, stream_key, repeated, reason,
    quarantined_at, count(*) over (partition by topic, stream_key, repeated) as records
from read_model.quarantine
order by topic, stream_key, repeated, partition, record_offset
"""
SHOW = """
select * from read_model.quarantine where topic = $1 and stream_key = $2
order by partition, record_offset
"""
LIST_SKIPPED = """
select * from control.skipped_records
where $1::text is null or (topic, stream_key) = ($1, $2)
order by skipped_at, topic, partition, record_offset
"""
FIND_STREAMS = """
select topic, stream_key from read_model.quarantine
union select topic, stream_key from control.skipped_records
order by topic, stream_key
"""
TRIES = 5

Done = TypeVar("Done")


@dataclass(frozen=True, slots=True)
class ParkedStream:
    """`reason` is that of its first record; the others follow it.

    With `repeated`, its records are of events that were on the log before: nothing waits for them.
    """

    stream: StreamId
    repeated: bool
    records: int
    reason: str
    since: datetime

    def as_json(self) -> dict[str, Any]:
        return {
            "topic": self.stream.topic,
            "stream": self.stream.key,
            "repeated": self.repeated,
            "records": self.records,
            "reason": self.reason,
            "since": timestamp(self.since),
        }


@dataclass(frozen=True, slots=True)
class KeptRecord:
    """A record in quarantine, or one that was skipped; `facts`: what else is known."""

    stream: str
    event: ReadEvent
    says: str
    facts: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        return {
            **self.event.as_json(),
            "stream": self.stream,
            "reason": self.says,
            **self.facts,
        }


async def parked_streams(connection: Connection) -> list[ParkedStream]:
    return [
        ParkedStream(
            StreamId(row["topic"], row["stream_key"]),
            row["repeated"],
            row["records"],
            row["reason"],
            row["quarantined_at"],
        )
        for row in await connection.fetch(LIST)
    ]


async def parked_records(connection: Connection, stream: StreamId) -> list[KeptRecord]:
    """In the order in which they are applied."""
    return [
        _kept(
            row,
            row["reason"],
            {"repeated": row["repeated"], "quarantinedAt": timestamp(row["quarantined_at"])},
        )
        for row in await connection.fetch(SHOW, *stream)
    ]


async def skipped_records(
    connection: Connection, stream: StreamId | None = None
) -> list[KeptRecord]:
    """Of all streams for None; the oldest skip first."""
    rows = await connection.fetch(LIST_SKIPPED, *(stream or (None, None)))
    return [
        _kept(
            row,
            row["fault"],
            {
                "skippedBecause": row["reason"],
                "skippedBy": row["skipped_by"],
                "skippedAt": timestamp(row["skipped_at"]),
                "sequenceAfter": row["sequence_after"],
            },
        )
        for row in rows
    ]


async def find_stream(
    connection: Connection, named: str, topics: Collection[str] | None = None
) -> StreamId:
    """The stream with the key `named`, or of the influencer, asset or content `named`.

    Raises CommandFault when there is none, OperatorMistake when there are several.
    """
    rows = await connection.fetch(FIND_STREAMS)
    return named_stream([StreamId(row["topic"], row["stream_key"]) for row in rows], named, topics)


def named_stream(
    streams: Iterable[StreamId], named: str, topics: Collection[str] | None = None
) -> StreamId:
    """As `find_stream`, among `streams`."""
    of_topic = [stream for stream in streams if topics is None or stream.topic in topics]
    found = [stream for stream in of_topic if _is_named(stream, named)]
    if not found:
        raise CommandFault(f"{named or 'the stream without a key'} is not in quarantine")
    if len(found) > 1:
        listed = "; ".join(f"{stream.topic} {stream.key}" for stream in found)
        raise OperatorMistake(f"which of these? give the whole key, and --topic: {listed}")
    return found[0]


async def changed(
    connection: Connection, change: Callable[[], Awaitable[Done]], *, dry_run: bool
) -> Done:
    """What `change` comes to in one transaction; a dry run takes it all back.

    Raises CommandFault, DependencyUnavailable when the projector is always faster.
    """
    for _ in range(TRIES):
        transaction = connection.transaction()
        await transaction.start()
        try:
            done = await change()
        except NotQuarantined as fault:
            await transaction.rollback()
            raise CommandFault(str(fault)) from fault
        except (PositionMoved, asyncpg.DeadlockDetectedError):
            await transaction.rollback()
            continue
        except BaseException:
            await transaction.rollback()
            raise
        await (transaction.rollback() if dry_run else transaction.commit())
        return done
    raise DependencyUnavailable("postgres", "the stream's partition is too busy; try again")


def _kept(row: asyncpg.Record, says: str, facts: dict[str, Any]) -> KeptRecord:
    return KeptRecord(row["stream_key"], read_event(stored_record(row)), says, facts)


def _is_named(stream: StreamId, named: str) -> bool:
    return stream.key == named or stream.key.partition("/")[2] in _spellings(named)


def _spellings(named: str) -> Collection[str]:
    found = []
    for prefix in (Prefix.INFLUENCER, Prefix.ASSET, Prefix.CONTENT):
        try:
            found.append(parse_identifier(prefix, named))
        except InvalidIdentifier:
            continue
    return found
