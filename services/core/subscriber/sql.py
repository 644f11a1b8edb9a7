"""The statements that the SQL stores have in common; SQLite and Postgres both understand them."""

import base64
import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from .faults import FaultKind
from .places import Partition, StreamKey
from .records import Record
from .store import Parking, Position, Skip, StreamState

TABLES = """
create table if not exists subscriber_positions (
    subscription text not null,
    topic text not null,
    partition integer not null,
    next_offset bigint not null,
    is_whole boolean not null,
    primary key (subscription, topic, partition)
);
create table if not exists subscriber_streams (
    subscription text not null,
    topic text not null,
    stream_key text not null,
    partition integer not null,
    sequence bigint,
    parked_kind text,
    parked_reason text,
    parked_since bigint,
    attempts integer,
    retry_at bigint,
    primary key (subscription, topic, stream_key)
);
create index if not exists subscriber_streams_parked
    on subscriber_streams (subscription, topic, partition) where parked_kind is not null;
create table if not exists subscriber_parked (
    subscription text not null,
    topic text not null,
    stream_key text not null,
    partition integer not null,
    record_offset bigint not null,
    record text not null,
    primary key (subscription, topic, stream_key, partition, record_offset)
);
create table if not exists subscriber_skips (
    subscription text not null,
    topic text not null,
    stream_key text not null,
    first_sequence bigint,
    last_sequence bigint,
    reason text not null,
    skipped_at bigint not null
);
"""

HOLD = """
select topic, partition, next_offset, is_whole from subscriber_positions
where subscription = $1 and (topic, partition) in ({places})
order by topic, partition
"""
MOVE = """
insert into subscriber_positions (subscription, topic, partition, next_offset, is_whole)
values ($1, $2, $3, $4, $5)
on conflict (subscription, topic, partition)
do update set next_offset = excluded.next_offset, is_whole = excluded.is_whole
"""
STATES = """
select topic, stream_key, partition, sequence, parked_kind, parked_reason, parked_since,
    attempts, retry_at
from subscriber_streams
where subscription = $1 and (topic, stream_key) in ({places})
"""
SAVE = """
insert into subscriber_streams (subscription, topic, stream_key, partition, sequence, parked_kind,
    parked_reason, parked_since, attempts, retry_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
on conflict (subscription, topic, stream_key) do update set
    sequence = excluded.sequence, partition = excluded.partition,
    parked_kind = excluded.parked_kind, parked_reason = excluded.parked_reason,
    parked_since = excluded.parked_since, attempts = excluded.attempts,
    retry_at = excluded.retry_at
"""
PARKED_STREAMS = """
select topic, stream_key, partition, sequence, parked_kind, parked_reason, parked_since,
    attempts, retry_at
from subscriber_streams
where subscription = $1 and parked_kind is not null
order by parked_since, topic, stream_key
"""
PARK = """
insert into subscriber_parked (subscription, topic, stream_key, partition, record_offset, record)
values ($1, $2, $3, $4, $5, $6) on conflict do nothing
"""
PARKED = """
select record from subscriber_parked
where subscription = $1 and topic = $2 and stream_key = $3
order by partition, record_offset limit $4
"""
UNPARK = """
delete from subscriber_parked
where subscription = $1 and topic = $2 and stream_key = $3 and partition = $4
    and record_offset = $5
"""
RECORD_SKIP = """
insert into subscriber_skips (subscription, topic, stream_key, first_sequence, last_sequence,
    reason, skipped_at)
values ($1, $2, $3, $4, $5, $6, $7)
"""
SKIPS = """
select topic, stream_key, first_sequence, last_sequence, reason, skipped_at
from subscriber_skips where subscription = $1 order by skipped_at
"""
FORGET = (
    "delete from subscriber_positions where subscription = $1 and topic = $2 and partition = $3",
    "delete from subscriber_streams where subscription = $1 and topic = $2 and partition = $3",
    "delete from subscriber_parked where subscription = $1 and topic = $2 and partition = $3",
)
FORGET_STREAM = (
    "delete from subscriber_streams where subscription = $1 and topic = $2 and stream_key = $3",
    "delete from subscriber_parked where subscription = $1 and topic = $2 and stream_key = $3",
)


class Driver(Protocol):
    """Runs statements in one transaction, with parameters as `$1`. Raises StoreUnavailable."""

    lock: str
    """Put behind a select: locks its rows until the transaction ends."""

    async def execute_many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None: ...

    async def fetch(self, statement: str, arguments: Sequence[Any]) -> Sequence[Any]: ...


class SqlTransaction:
    """What both SQL stores do with a driver."""

    def __init__(self, subscription: str, driver: Driver) -> None:
        self._subscription = subscription
        self._driver = driver

    async def hold(self, partitions: Collection[Partition]) -> Mapping[Partition, Position]:
        rows = await self._fetch_places(HOLD, "${}, cast(${} as integer)", partitions, lock=True)
        return {Partition(row[0], row[1]): Position(int(row[2]), bool(row[3])) for row in rows}

    async def move(self, positions: Mapping[Partition, Position]) -> None:
        await self._write(
            MOVE, [(*place, to.offset, to.is_whole) for place, to in sorted(positions.items())]
        )

    async def states(self, streams: Collection[StreamKey]) -> Mapping[StreamKey, StreamState]:
        rows = await self._fetch_places(STATES, "${}, ${}", streams)
        return dict(map(_state_of, rows))

    async def save(self, states: Mapping[StreamKey, StreamState]) -> None:
        await self._write(SAVE, [_row_of(stream, state) for stream, state in states.items()])

    async def parked_streams(
        self, partitions: Collection[Partition] | None = None
    ) -> Mapping[StreamKey, StreamState]:
        found = map(_state_of, await self._driver.fetch(PARKED_STREAMS, [self._subscription]))
        return {
            stream: state
            for stream, state in found
            if partitions is None or Partition(stream.topic, state.partition) in partitions
        }

    async def park(self, records: Collection[Record]) -> None:
        await self._write(
            PARK,
            [(*r.stream, r.partition, r.offset, _written(r)) for r in records],
        )

    async def parked(self, stream: StreamKey, limit: int) -> Sequence[Record]:
        rows = await self._driver.fetch(PARKED, [self._subscription, *stream, limit])
        return [_read(row[0]) for row in rows]

    async def unpark(self, records: Collection[Record]) -> None:
        await self._write(UNPARK, [(*r.stream, r.partition, r.offset) for r in records])

    async def record_skip(self, skip: Skip) -> None:
        row = (*skip.stream, skip.first, skip.last, skip.reason, _milliseconds(skip.at))
        await self._write(RECORD_SKIP, [row])

    async def skips(self) -> Sequence[Skip]:
        rows = await self._driver.fetch(SKIPS, [self._subscription])
        return [
            Skip(StreamKey(row[0], row[1]), row[2], row[3], row[4], _moment(row[5])) for row in rows
        ]

    async def forget(self, partition: Partition) -> None:
        for statement in FORGET:
            await self._write(statement, [tuple(partition)])

    async def forget_stream(self, stream: StreamKey) -> None:
        for statement in FORGET_STREAM:
            await self._write(statement, [tuple(stream)])

    async def _write(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        await self._driver.execute_many(statement, [(self._subscription, *row) for row in rows])

    async def _fetch_places(
        self,
        statement: str,
        pattern: str,
        places: Collection[tuple[str, Any]],
        *,
        lock: bool = False,
    ) -> Sequence[Any]:
        if not places:
            return ()
        pairs = [f"({pattern.format(n, n + 1)})" for n in range(2, 2 * len(places) + 2, 2)]
        text = statement.format(places="values " + ", ".join(pairs))
        arguments = [self._subscription, *(part for place in places for part in place)]
        return await self._driver.fetch(text + (self._driver.lock if lock else ""), arguments)


def _state_of(row: Any) -> tuple[StreamKey, StreamState]:
    parking = None
    if row[4] is not None:
        retry_at = None if row[8] is None else _moment(row[8])
        parking = Parking(FaultKind(row[4]), row[5], _moment(row[6]), row[7], retry_at)
    return StreamKey(row[0], row[1]), StreamState(row[2], row[3], parking)


def _row_of(stream: StreamKey, state: StreamState) -> tuple[Any, ...]:
    row = (*stream, state.partition, state.sequence)
    if state.parking is None:
        return (*row, None, None, None, None, None)
    parking = state.parking
    retry_at = None if parking.retry_at is None else _milliseconds(parking.retry_at)
    since = _milliseconds(parking.since)
    return (*row, parking.kind.value, parking.reason, since, parking.attempts, retry_at)


def _written(record: Record) -> str:
    return json.dumps(
        {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "timestamp": record.timestamp,
            "key": _base64(record.key),
            "headers": [[name, _base64(value)] for name, value in record.headers],
            "value": _base64(record.value),
        }
    )


def _read(text: str) -> Record:
    fields = json.loads(text)
    return Record(
        fields["topic"],
        fields["partition"],
        fields["offset"],
        _bytes(fields["key"]),
        tuple((name, _bytes(value)) for name, value in fields["headers"]),
        _bytes(fields["value"]),
        fields["timestamp"],
    )


def _base64(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
